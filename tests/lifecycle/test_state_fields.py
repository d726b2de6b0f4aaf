"""The database refuses an organisation whose state lacks a field that it needs, or has a stale one."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from tenants.models import Organisation, State
from tests.factories import make_organisation, put_in_state

pytestmark = pytest.mark.django_db
NOW = timezone.now()
SUSPENDED = {"suspended_at": NOW, "suspended_by": "owner"}
DELETING = {
    "deletion_requested_at": NOW, "retention_days": 30, "state_before_deletion": "active",
}  # fmt: skip


def refused(organisation: Organisation, **changes: Any) -> bool:
    try:
        with transaction.atomic():
            Organisation.objects.filter(pk=organisation.pk).update(**changes)
    except IntegrityError:
        return True
    return False


@pytest.mark.covers("H5")
@pytest.mark.parametrize("state", [State.ACTIVE, State.SUSPENDED, State.FAILED])
@pytest.mark.parametrize("field", sorted(DELETING))
def test_nothing_of_a_deletion_stays_on_what_is_not_to_be_deleted(state: str, field: str) -> None:
    organisation = make_organisation(state)
    assert refused(organisation, **{field: DELETING[field]})


@pytest.mark.covers("H5")
@pytest.mark.parametrize("stale", [{"suspend_reason": "x"}, {"suspended_by": "owner"}, SUSPENDED])
def test_an_active_one_is_not_suspended_as_well(stale: dict[str, Any]) -> None:
    assert refused(make_organisation(), **stale)


@pytest.mark.parametrize(
    "lacks", [{"suspended_at": None}, {"suspended_by": ""}, {"suspended_by": "a stranger"}]
)
def test_a_suspended_one_says_when_and_by_whom(lacks: dict[str, Any]) -> None:
    assert refused(make_organisation(State.SUSPENDED), **lacks)


@pytest.mark.parametrize(
    "lacks",
    [
        {"deletion_requested_at": None},
        {"retention_days": None},
        {"retention_days": 0},
        {"retention_days": 366},
        {"state_before_deletion": ""},
        {"state_before_deletion": "provisioning"},
        {"state_before_deletion": "suspended"},
        SUSPENDED,
    ],
)
def test_one_that_is_to_be_deleted_says_when_and_what_it_was(lacks: dict[str, Any]) -> None:
    assert refused(make_organisation(State.PENDING_DELETION), **lacks)


def test_a_tombstone_says_when_and_nothing_else_does() -> None:
    assert refused(make_organisation(), state=State.DELETED)
    assert refused(make_organisation(), deleted_at=NOW)


@pytest.mark.parametrize("state", sorted(State.values))
def test_every_state_can_be(state: str) -> None:
    organisation = make_organisation(State.REQUESTED)
    put_in_state(organisation, state)
    organisation.refresh_from_db()
    assert organisation.state == state


def test_rows_from_before_the_rules_are_made_to_fit() -> None:
    """The migration's statements, on rows as an older release may have left them."""
    from importlib import import_module

    from django.db import connection

    tidy = import_module("tenants.migrations.0005_state_fields").TIDY
    names = [
        c.name
        for c in Organisation._meta.constraints
        if c.name.endswith(("_fields", "_retention", "_deleted_at"))
    ]
    wrong: dict[str, dict[str, Any]] = {
        State.ACTIVE: SUSPENDED | DELETING,
        State.SUSPENDED: {"suspended_at": None, "suspended_by": "", "retention_days": 9},
        State.PENDING_DELETION: {"retention_days": None, "state_before_deletion": ""},
        State.DELETED: {"deleted_at": None, "retention_days": 4000},
        State.FAILED: {"suspend_reason": "x", "deleted_at": NOW},
    }
    made = {state: make_organisation(State.REQUESTED) for state in wrong}
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name in names:
            cursor.execute(f"ALTER TABLE tenants_organisation DROP CONSTRAINT {name}")
    for state, fields in wrong.items():
        Organisation.objects.filter(pk=made[State(state)].pk).update(state=state, **fields)
    with connection.cursor() as cursor:
        cursor.execute(tidy)
    for constraint in Organisation._meta.constraints:
        if constraint.name in names:
            for organisation in Organisation.objects.filter(pk__in=[o.pk for o in made.values()]):
                constraint.validate(Organisation, organisation)
    waiting = Organisation.objects.get(pk=made[State.PENDING_DELETION].pk)
    assert (waiting.retention_days, waiting.removal.requested_by) == (30, "platform")
