"""The rollout policy as data: who may come, how many, and what has to be true before more may."""
