"""Background work of billing."""

from __future__ import annotations

from procrastinate.contrib.django import app

from billing import keys


@app.periodic(cron="17 * * * *")
@app.task(name="billing.tasks.forget_retired_keys", queueing_lock="forget_retired_keys")
def forget_retired_keys(timestamp: int) -> None:
    """Once an hour: a retired key is refused by relays soon after its last lease ran out (F57)."""
    keys.forget_retired()
