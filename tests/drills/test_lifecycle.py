"""`manage.py drill lifecycle` passes on a sound system and names each broken promise."""

from __future__ import annotations

import pytest

from pulsecloud.drills.lifecycle import LifecycleDrills
from pulsecloud.proof.browser import UnexpectedAnswer
from tenants.models import Organisation, ReadinessKind, ReadinessRecord, State
from tests.drills.lying_web import Lie, lying_web
from tests.drills.running import drill, failed, one
from tests.product import Product
from tests.proof.sabotage import trigger
from tests.proof.test_prove import database

pytestmark = pytest.mark.xdist_group("product")

DRILLS = [
    "suspend_unsuspend",
    "suspend_twice",
    "unsuspend_active",
    "soft_delete_twice",
    "suspend_soft_delete",
    "missing_organisation",
    "retention",
]


def nothing_is_left() -> bool:
    drilled = Organisation.objects.filter(label__startswith="canary-drill-")
    return drilled.exists() and not drilled.exclude(state=State.DELETED).exists()


def test_a_sound_system_passes(product: Product) -> None:
    code, record = drill(product, "lifecycle")
    assert code == 0, record["blocking"]
    assert [step["name"] for step in record["steps"]] == DRILLS
    assert {step["status"] for step in record["steps"]} == {"passed"}
    evidence = {step["name"]: step["evidence"] for step in record["steps"]}
    assert evidence["suspend_unsuspend"]["own_api"] == [200, 403, 200]
    assert evidence["retention"]["stored_days"] == 7
    stored = ReadinessRecord.objects.get(pk=record["id"])
    assert (stored.kind, stored.passed) == (ReadinessKind.LIFECYCLE_DRILL, True)
    assert nothing_is_left()


# (what the server says that is not so, the drill that finds out, what it says of it)
LIES = [
    (
        Lie("POST", "/suspend$", fields={"suspendReason": None}, only=200),
        "suspend_unsuspend",
        "suspendReason is None",
    ),
    (
        Lie("POST", "/unsuspend$", fields={"suspendedAt": "2026-01-01T00:00:00Z"}, only=200),
        "suspend_unsuspend",
        "still has suspendedAt",
    ),
    (Lie("GET", "^/api/organisation$", status=200, only=403), "suspend_unsuspend", "its own API"),
    (
        Lie("POST", "/suspend$", status=200, only=409),
        "suspend_twice",
        "answered 200 instead of 409",
    ),
    (
        Lie("POST", "/suspend$", fields={"code": "conflict"}, only=409),
        "suspend_twice",
        "'conflict' instead of 'already_suspended'",
    ),
    (
        Lie("POST", "/unsuspend$", status=200, only=409),
        "unsuspend_active",
        "answered 200 instead of 409",
    ),
    (
        Lie("POST", "/soft-delete$", status=200, only=409),
        "soft_delete_twice",
        "answered 200 instead of 409",
    ),
    (
        Lie("POST", "/soft-delete$", fields={"suspendedAt": None}, only=200),
        "suspend_soft_delete",
        "suspendedAt is None",
    ),
    (
        Lie("POST", "/unsuspend$", status=409, only=404),
        "missing_organisation",
        "answered 409 instead of 404",
    ),
    (
        Lie("POST", "/soft-delete$", status=200, only=400),
        "retention",
        "answered 200 instead of 400",
    ),
    (
        Lie("POST", "/soft-delete$", fields={"retentionDays": 30}, only=200),
        "retention",
        "retentionDays is 30 instead of 7",
    ),
]


@pytest.mark.parametrize(("lie", "name", "says"), LIES, ids=[f"{n}: {s}" for _, n, s in LIES])
def test_an_answer_that_is_not_as_promised_is_named(
    product: Product, lie: Lie, name: str, says: str
) -> None:
    with lying_web(product, lie) as address, pytest.raises(UnexpectedAnswer, match=says):
        one(product, LifecycleDrills, name, web=address)
    assert nothing_is_left()


def test_every_drill_bites() -> None:
    assert {name for _, name, _ in LIES} == set(DRILLS)


def test_what_was_answered_and_not_done_is_named(product: Product) -> None:
    """A trigger undoes suspensions: web answers 200, and only a second look shows that it lies."""
    body = "IF NEW.state = 'suspended' THEN RETURN OLD; END IF; RETURN NEW;"
    with (
        database() as direct,
        trigger(direct, tables=["tenants_organisation"], when="BEFORE UPDATE", body=body),
    ):
        code, record = drill(product, "lifecycle")
    assert code == 1
    assert failed(record) == ["suspend_unsuspend", "suspend_twice", "suspend_soft_delete"]
    assert len(record["blocking"]) >= 3
    assert nothing_is_left()


def test_a_retention_that_was_not_stored_is_named(product: Product) -> None:
    body = "IF NEW.state = 'pending_deletion' THEN NEW.retention_days := 30; END IF; RETURN NEW;"
    with (
        database() as direct,
        trigger(direct, tables=["tenants_organisation"], when="BEFORE UPDATE", body=body),
        pytest.raises(UnexpectedAnswer, match="the retention is 30 instead of 7"),
    ):
        one(product, LifecycleDrills, "retention")
