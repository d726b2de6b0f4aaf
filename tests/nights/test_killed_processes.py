"""Any process is killed while owners decide: each organisation is in a state of the table after it.

What counts is what stays: the state, what the relay was told, and one audit row for each change.
Owners try again when an answer does not come, as people do. `NIGHT_SEED=n` repeats the decisions.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
import time
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import pytest
from django.db import connections

from audit.models import Event
from relay.models import RelayStatus
from relay.server.models import BlockedInstance
from tenants.models import Organisation, Removal, State
from tenants.residue import residue
from tenants.states import TRANSITIONS
from tests.chaos.havoc import Havoc, ready
from tests.product import Member, looking_into_its_own, running_product
from tests.waiting import until

OWNERS = 3
# What an owner may see while something is dying: done, done before, try again.
PATIENT = {200, 409, 503}
CHANGES = {
    "org_suspended": (State.ACTIVE, State.SUSPENDED),
    "org_unsuspended": (State.SUSPENDED, State.ACTIVE),
}


@dataclass
class Owner:
    """Suspends and lifts in turn, over HTTP, until told to stop."""

    member: Member
    over: threading.Event
    seen: set[int] = field(default_factory=set)
    lost: int = 0

    def decide(self) -> None:
        verb = "suspend"
        while not self.over.is_set():
            try:
                answer = self.member.browser.request(
                    "POST",
                    f"/api/admin/orgs/{self.member.id}/{verb}",
                    json={"reason": "night"} if verb == "suspend" else {},
                )
            except httpx.TransportError:
                self.lost += 1
                time.sleep(0.2)
                continue
            self.seen.add(answer.status_code)
            if answer.status_code in (200, 409):  # 409: done, and the answer got lost
                verb = "unsuspend" if verb == "suspend" else "suspend"
            time.sleep(0.05)


def history(organisation: UUID) -> list[str]:
    events = Event.objects.filter(organisation=organisation, action__in=CHANGES)
    return list(events.order_by("id").values_list("action", flat=True))


def findings(organisation: Organisation) -> list[str]:
    """What does not fit together, in words."""
    found: list[str] = []
    state = State.ACTIVE
    for action in history(organisation.pk):
        before, after = CHANGES[action]
        if state != before:
            found.append(f"{action} in the trail while {state}")
        state = after
    if state != organisation.state:
        found.append(f"is {organisation.state}, and its trail ends with {state}")
    blocked = BlockedInstance.objects.filter(organisation=organisation.pk).exists()
    if blocked != (organisation.state != State.ACTIVE):
        found.append(f"is {organisation.state}, and blocked at the relay is {blocked}")
    if bool(organisation.suspended_by) != (organisation.state == State.SUSPENDED):
        found.append(f"is {organisation.state}, suspended by {organisation.suspended_by!r}")
    if organisation.state not in TRANSITIONS:
        found.append(f"is {organisation.state}, which is no state")
    return [f"{organisation.label} {what}" for what in found]


@pytest.mark.long
@pytest.mark.timeout(
    1500
)  # a product that is killed again and again comes back slowly on a busy machine
@pytest.mark.covers("F64")
def test_what_is_decided_is_done_or_not_done(live_db: None) -> None:
    number = int(os.environ.get("NIGHT_SEED") or secrets.randbelow(2**32))
    print(f"NIGHT_SEED={number}")
    dice = random.Random(number)
    with running_product() as product:
        with looking_into_its_own(product):
            members = [product.signed_up() for _ in range(OWNERS)]
        over = threading.Event()
        owners = [Owner(member, over) for member in members]
        threads = [threading.Thread(target=owner.decide) for owner in owners]
        havoc = Havoc(product, dice)
        for thread in threads:
            thread.start()
        try:
            until(lambda: all(200 in owner.seen for owner in owners), 60, what="all decide")
            for target in havoc.orders(1):
                time.sleep(dice.uniform(0.1, 0.6))
                havoc.strike(target)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        print(havoc.kills)
        wait_until_ready(havoc)
        with looking_into_its_own(product):
            for owner in owners:
                organisation = owner.member.organisation
                assert findings(organisation) == []
                assert owner.seen <= PATIENT, owner.seen
                assert history(organisation.pk), "nobody decided anything"
            lift_and_look(members)
            delete_and_purge(members, havoc)


def lift_and_look(members: list[Member]) -> None:
    """Who is active after that night is connected again."""
    for member in members:
        if member.organisation.state == State.SUSPENDED:
            until(lambda: told(member, "unsuspend") in (200, 409), 20, every=0.2)  # noqa: B023
    until(
        lambda: RelayStatus.objects.filter(connected=True).count() == len(members),
        60,
        every=0.2,
        what="all are connected",
    )


def delete_and_purge(members: list[Member], havoc: Havoc) -> None:
    """A deletion is asked for, or it is not; a purge that was cut off is finished by the sweep."""
    for member, target in zip(members, ("web", "worker", "PostgreSQL"), strict=True):
        strike = threading.Thread(target=havoc.strike, args=(target,))
        strike.start()
        until(lambda: told(member, "soft-delete") in (200, 409), 60, every=0.2)  # noqa: B023
        strike.join()
    wait_until_ready(havoc)
    for member in members:
        assert member.organisation.state == State.PENDING_DELETION
        assert Removal.objects.filter(organisation=member.id).count() == 1
        asked = Event.objects.filter(organisation=member.id, action="org_soft_deleted")
        assert asked.count() == 1
    answers: list[int] = []
    for member, target in zip(members, ("worker", "one of web's processes", "web"), strict=True):
        strike = threading.Thread(target=strike_at_the_purge, args=(havoc, target, member))
        strike.start()
        answers.append(told(member, "purge"))
        strike.join()
    wait_until_ready(havoc)
    print(havoc.kills, answers, [str(member.organisation.state) for member in members])
    for member in members:
        if member.organisation.state not in (State.PURGING, State.DELETED):
            told(member, "purge")
    for member in members:
        until(
            lambda: member.organisation.state == State.DELETED,  # noqa: B023
            60,
            every=0.2,
            what="the purge is finished",
        )
        assert residue(member.id) == []


def strike_at_the_purge(havoc: Havoc, target: str, member: Member) -> None:
    """As soon as it has begun; before that there is nothing to cut off."""
    try:
        until(lambda: member.organisation.state != State.PENDING_DELETION, 20, every=0.002)
        havoc.strike(target)
    finally:
        connections.close_all()  # of this thread


def wait_until_ready(havoc: Havoc) -> None:
    until(lambda: ready(havoc.product), 60, every=0.2, what="ready again")
    connections.close_all()  # ours may have died with PostgreSQL


def told(member: Member, verb: str) -> int:
    """The status of a life-cycle request; 0 when no answer came."""
    try:
        return member.browser.request(
            "POST", f"/api/admin/orgs/{member.id}/{verb}", json={}
        ).status_code
    except httpx.TransportError:
        return 0
