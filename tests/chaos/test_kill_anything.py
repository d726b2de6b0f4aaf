"""Whatever is killed while people sign up: every sign-up is whole or is not there at all.

`CHAOS_SEED=n` repeats the decisions of a run; the seed is printed.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.chaos import aftermath
from tests.chaos.havoc import Havoc, ready
from tests.chaos.people import Person, invite
from tests.product import looking_into_its_own, running_product
from tests.waiting import until

AT_ONCE = 4  # people at the form at the same time


def seed() -> int:
    chosen = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(2**32))
    print(f"CHAOS_SEED={chosen}")
    return chosen


def test_everything_is_killed_once(live_db: None) -> None:
    storm(sign_ups=7, rounds=1, gap=(0.0, 0.8))


@pytest.mark.long
def test_everything_is_killed_again_and_again(live_db: None) -> None:
    storm(sign_ups=20, rounds=6, gap=(0.0, 2.5))


def storm(*, sign_ups: int, rounds: int, gap: tuple[float, float]) -> None:
    """Everything is killed `rounds` times while people sign up; then all is looked at."""
    dice = random.Random(seed())
    # All of them come from one address, and who is asked to look into the mailbox tries again.
    with running_product(PULSECLOUD_SIGNUPS_PER_ADDRESS="1000") as product:
        with looking_into_its_own(product):
            people = invite(product, sign_ups)
        havoc = Havoc(product, dice)
        with ThreadPoolExecutor(AT_ONCE) as crowd:
            orders = havoc.orders(rounds)
            kills_each = len(orders) // sign_ups
            signing_up: list[Future[None]] = []
            for number, target in enumerate(orders):
                if number % kills_each == 0 and len(signing_up) < sign_ups:
                    person = people[len(signing_up)]
                    signing_up.append(crowd.submit(person.sign_up))
                    person.posted.wait(20)
                time.sleep(dice.uniform(*gap))
                havoc.strike(target)
            for each in signing_up:
                each.result()
        tell(havoc, people)
        until(lambda: ready(product), 60, every=0.2, what="ready again")
        with looking_into_its_own(product):
            until(lambda: not aftermath.unconnected(), 60, every=0.2, what="all are connected")
            until(lambda: not aftermath.jobs(), 20, every=0.2, what="no job is left")
            assert aftermath.findings() == []
            assert {person.state for person in people} == {"active"}
        proof = product.manage("prove", "--json", check=False)
        assert proof.returncode == 0, json.loads(proof.stdout)["blocking"]
        with looking_into_its_own(product):
            assert aftermath.findings() == []


def tell(havoc: Havoc, people: list[Person]) -> None:
    """For the reader of a failure."""
    for at, target, pid in havoc.kills:
        print(f"{at:7.2f} s  killed {target} ({pid})")
    for person in people:
        print(
            f"{person.label}: {person.state or 'nothing'} after {person.seconds:.1f} s"
            f" and {person.tries} tries; saw {dict(person.saw)}"
        )
