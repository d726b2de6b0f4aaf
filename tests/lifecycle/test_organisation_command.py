"""manage.py organisation: what it shows, does and refuses, with its exit codes."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from audit.actors import Actor
from audit.models import Event
from tenants import lifecycle
from tenants.models import Organisation, Removal, State, SuspendedBy
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db
WHY = ("--reason", "asked by telephone")


def run(*arguments: str) -> str:
    said = StringIO()
    call_command("organisation", *arguments, stdout=said)
    return said.getvalue()


def told(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def refused(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as error:
        run(*arguments)
    return error.value.returncode, str(error.value)


@pytest.fixture
def organisation() -> Organisation:
    return make_organisation()


def state(organisation: Organisation) -> str:
    return str(Organisation.objects.get(pk=organisation.pk).state)


def test_lists_by_state(organisation: Organisation) -> None:
    suspended, canary = make_organisation(State.SUSPENDED), make_organisation(canary=True)
    gone = make_organisation(State.DELETED)
    labels = {row["label"] for row in told("list")}
    assert {organisation.label, suspended.label} <= labels
    assert not {canary.label, gone.label} & labels
    assert canary.label in {row["label"] for row in told("list", "--canaries")}
    assert gone.label in run("list", "--state", "deleted")
    only = {row["state"] for row in told("list", "--state", "suspended")}
    assert only == {"suspended"}
    assert len(told("list", "--limit", "1")) == 1
    assert f"{organisation.label} " in run("list")


def test_a_list_takes_one_query(organisation: Organisation, django_assert_num_queries: Any) -> None:
    make_organisation(State.PENDING_DELETION)
    with django_assert_num_queries(1):
        told("list")


def test_shows_one(organisation: Organisation) -> None:
    shown = told("show", organisation.label)
    assert (shown["id"], shown["state"]) == (str(organisation.pk), "active")
    assert shown["due_at"] is None
    assert str(organisation.pk) in run("show", organisation.label)
    assert refused("show", "no-such-label") == (2, "There is no organisation no-such-label.")


def test_suspends_and_lifts(organisation: Organisation) -> None:
    assert run("suspend", organisation.label, *WHY) == f"{organisation.label} is suspended\n"
    organisation.refresh_from_db()
    assert organisation.suspended_by == SuspendedBy.PLATFORM
    event = Event.objects.get(action="org_suspended", organisation=organisation.pk)
    assert (event.actor_kind, event.reason) == ("system", "asked by telephone")
    status, text = refused("suspend", organisation.label, *WHY)
    assert status == 1 and "(already_suspended)" in text
    assert told("lift", organisation.label, *WHY)["state"] == "active"
    assert refused("lift", organisation.label, *WHY)[0] == 1


def test_takes_over_what_the_owner_suspended(organisation: Organisation) -> None:
    lifecycle.suspend(
        organisation=organisation, by=SuspendedBy.OWNER, actor=Actor.system("test"), reason="x"
    )
    assert run("take-over", organisation.label, "--dry-run", *WHY)
    assert told("show", organisation.label)["suspended_by"] == "owner"
    assert told("take-over", organisation.label, *WHY)["suspended_by"] == "platform"
    status, text = refused("take-over", organisation.label, *WHY)
    assert status == 1 and "(already_suspended)" in text


def test_deletes_and_undeletes(organisation: Organisation) -> None:
    said = run("delete", organisation.label, "--retention-days", "7", *WHY)
    removal = Removal.objects.get(organisation=organisation)
    due = f"{removal.due_at:%Y-%m-%dT%H:%M:%SZ}"
    assert said == f"{organisation.label} is pending deletion, to be deleted on {due}\n"
    shown = told("show", organisation.label)
    assert (shown["retention_days"], shown["due_at"]) == (7, due)
    assert shown["deletion_requested_by"] == "platform"
    assert told("undelete", organisation.label, *WHY)["state"] == "active"
    assert refused("undelete", organisation.label, *WHY)[0] == 1


@pytest.mark.parametrize("days", ["0", "-1", "366"])
def test_a_retention_that_is_none(organisation: Organisation, days: str) -> None:
    status, text = refused("delete", organisation.label, f"--retention-days={days}", *WHY)
    assert status == 2 and "(invalid_retention_days)" in text
    assert state(organisation) == State.ACTIVE


@pytest.mark.parametrize(
    ("verb", "before"),
    [
        ("suspend", State.ACTIVE),
        ("lift", State.SUSPENDED),
        ("delete", State.ACTIVE),
        ("undelete", State.PENDING_DELETION),
    ],
)
def test_a_dry_run_keeps_nothing(verb: str, before: str) -> None:
    organisation = make_organisation(before)
    trail = Event.objects.count()
    would = told(verb, organisation.label, "--dry-run", *WHY)
    assert would["dry_run"] is True and would["state"] != before
    assert "would be" in run(verb, organisation.label, "--dry-run", *WHY)
    assert state(organisation) == before
    assert Event.objects.count() == trail


def test_needs_a_reason(organisation: Organisation) -> None:
    with pytest.raises(CommandError, match="--reason"):
        run("suspend", organisation.label)
    assert refused("suspend", organisation.label, "--reason", "  ")[0] == 2
    assert state(organisation) == State.ACTIVE


def test_says_why_one_is_blocked(organisation: Organisation) -> None:
    assert told("why", organisation.label)["blocked"] is False
    run("suspend", organisation.label, *WHY)
    with pytest.raises(SystemExit) as ended:
        run("why", organisation.label)
    assert ended.value.code == 1
    assert refused("why", "no-such-label")[0] == 2
