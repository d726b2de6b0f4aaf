"""Why is this organisation blocked? The answer is the door's own, and looking changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as live_settings
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.module_loading import import_string

from audit.actors import Actor
from billing.models import BillingState
from rbac.models import Assignment
from tenants import budgets, lifecycle, schemas, versions, why
from tenants.models import LimitWindow, Membership, Organisation, Removal, State, SuspendedBy, User
from tests.factories import add_member, make_organisation, make_user, owner_of, sign_in

pytestmark = pytest.mark.django_db
ACTOR = Actor.system("test")


def suspend(organisation: Organisation, by: SuspendedBy = SuspendedBy.PLATFORM) -> None:
    lifecycle.suspend(organisation=organisation, by=by, actor=ACTOR, reason="unpaid bills")
    organisation.refresh_from_db()


def end_trial(organisation: Organisation) -> None:
    gone = timezone.now() - timedelta(days=1)
    BillingState.objects.filter(organisation=organisation).update(trial_ends_at=gone)


def take_roles(organisation: Organisation) -> None:
    with schemas.in_schema(organisation):
        Assignment.objects.all().delete()
    versions.move_on(organisation.pk)


def close_account(organisation: Organisation) -> None:
    User.objects.filter(pk=owner_of(organisation).pk).update(is_active=False)


def use_up(organisation: Organisation) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(requests_per_minute=1)
    spend = budgets.spend(budgets.ORGANISATION, str(organisation.pk), limit=1)
    assert spend.allowed


def lose_schema(organisation: Organisation) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER SCHEMA "{organisation.schema_name}" RENAME TO "lost"')


def nothing(organisation: Organisation) -> None:
    """Hosted mode is the settings' business."""


TROUBLES = {
    "tenants.door.hosted_gate": (nothing, 404, "not_found", "PULSE_HOSTED_MODE"),
    "rbac.authentication.authenticate": (
        close_account, 401, "authentication_required", "Open the account again"),
    "tenants.request_limits.limited": (
        use_up, 429, "tenant_rate_limit_exceeded", "ends by itself"),
    "tenants.door.organisation_state": (suspend, 403, "org_suspended", "Only staff can lift it"),
    "billing.entitlement.entitled": (end_trial, 402, "subscription_required", "subscription"),
    "rbac.authorizer.permitted": (take_roles, 403, "forbidden", "`admin` back"),
}  # fmt: skip


def test_an_open_door_has_nothing_to_say() -> None:
    organisation = make_organisation()
    found = why.diagnose(organisation)
    assert not found.blocked and found.first is None
    assert found.person == owner_of(organisation)
    assert {look.outcome for look in found.looks} == {why.PASSED}
    assert [look.check for look in found.looks[:-1]] == list(live_settings.REQUEST_CHECKS)
    assert "the door is open" in "\n".join(found.lines())


@pytest.mark.parametrize("check", TROUBLES)
def test_it_says_what_the_door_says(settings: Any, check: str) -> None:
    trouble, status, code, lift = TROUBLES[check]
    organisation = make_organisation()
    owner = owner_of(organisation)
    trouble(organisation)
    settings.HOSTED_MODE = check != "tenants.door.hosted_gate"
    organisation.refresh_from_db()
    found = why.diagnose(organisation, person=User.objects.get(pk=owner.pk))
    first = found.first
    assert first is not None and first.advice is not None
    assert (first.check, first.status, first.code) == (check, status, code)
    assert lift in first.advice.because + first.advice.lift
    # The real thing, on the organisation's host.
    client = Client(headers={"host": organisation.instance_host})
    sign_in(client, owner, organisation)
    answer = client.get("/api/organisation")
    assert answer.status_code == status
    if status != 404:
        assert answer.json()["code"] == code


def test_whatever_is_in_the_way_besides_is_said_too() -> None:
    organisation = make_organisation()
    suspend(organisation, SuspendedBy.OWNER)
    end_trial(organisation)
    found = why.diagnose(organisation)
    assert found.first is not None and found.first.code == "org_suspended"
    assert [look.code for look in found.others] == ["subscription_required"]
    permission = next(look for look in found.looks if look.check == "rbac.authorizer.permitted")
    assert permission.outcome == why.NOT_ASKED


def test_it_names_who_suspended_and_why_and_the_command_that_lifts() -> None:
    organisation = make_organisation()
    suspend(organisation, SuspendedBy.OWNER)
    first = why.diagnose(organisation).first
    assert first is not None and first.advice is not None
    assert "by owner" in first.advice.because and "unpaid bills" in first.advice.because
    assert "Its owner can lift it" in first.advice.lift
    assert f"organisation lift {organisation.label} --reason" in first.advice.command


@pytest.mark.parametrize(
    ("state", "code", "says"),
    [
        (State.REQUESTED, "org_not_ready", "has not proved the mailbox"),
        (State.PROVISIONING, "org_not_ready", "being set up"),
        (State.FAILED, "org_not_ready", "provision it again"),
        (State.PENDING_DELETION, "org_suspended", "cancel the deletion"),
        (State.PURGING, "org_not_ready", "being deleted"),
        (State.DELETED, "authentication_required", "Nothing lifts this"),
        (State.EXPIRED, "authentication_required", "sign up again"),
    ],
)
def test_each_state_is_told(state: str, code: str, says: str) -> None:
    organisation = make_organisation()
    fields: dict[str, Any] = {"state": state}
    if state in (State.PENDING_DELETION, State.PURGING):
        fields |= {"state_before_deletion": State.ACTIVE, "retention_days": 30}
        fields |= {"deletion_requested_at": timezone.now()}
    elif state == State.DELETED:
        fields |= {"deleted_at": timezone.now()}
    Organisation.objects.filter(pk=organisation.pk).update(**fields)
    organisation.refresh_from_db()
    first = why.diagnose(organisation).first
    assert first is not None and first.advice is not None
    assert first.code == code
    assert says in first.advice.because + " " + first.advice.lift


@pytest.mark.covers("H6")
@pytest.mark.parametrize(
    ("by", "asker", "who"),
    [
        (SuspendedBy.OWNER, "Its owner asked", "its owner or staff can cancel"),
        (SuspendedBy.PLATFORM, "Staff asked", "only staff can cancel"),
        (SuspendedBy.BILLING, "Billing asked", "only staff can cancel"),
    ],
)
def test_it_names_who_can_cancel_a_deletion(by: SuspendedBy, asker: str, who: str) -> None:
    organisation = make_organisation()
    lifecycle.soft_delete(organisation=organisation, by=by, actor=ACTOR)
    organisation.refresh_from_db()
    first = why.diagnose(organisation).first
    assert first is not None and first.advice is not None
    assert first.advice.because.startswith(asker) and who in first.advice.lift
    assert "undelete" in first.advice.command


def test_past_its_date_a_deletion_is_put_off_first() -> None:
    organisation = make_organisation()
    lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
    Removal.objects.filter(organisation=organisation).update(due_at=timezone.now())
    organisation.refresh_from_db()
    first = why.diagnose(organisation).first
    assert first is not None and first.advice is not None
    assert "its time was over" in first.advice.because
    assert first.advice.command.startswith(f"manage.py reaper {organisation.label} --put-off")


def test_data_that_is_gone_is_said_with_what_brings_it_back() -> None:
    organisation = make_organisation()
    take_roles(organisation)  # nothing remembered of anybody's rights
    lose_schema(organisation)
    first = why.diagnose(organisation).first
    assert first is not None and first.advice is not None
    assert (first.status, first.code) == (503, "unavailable")
    assert "org_restore" in first.advice.command


def test_for_somebody_else_than_the_owner() -> None:
    organisation = make_organisation()
    assert not why.diagnose(organisation, person=add_member(organisation)).blocked
    stranger = why.diagnose(organisation, person=make_user()).first
    assert stranger is not None and stranger.code == "access_denied"
    Organisation.objects.filter(pk=organisation.pk).update(sso_required=True)
    member = why.diagnose(organisation, person=add_member(organisation)).first
    assert member is not None and member.code == "sso_required"
    assert not why.diagnose(organisation).blocked


def test_lost_roles_are_given_back_to_an_owner_by_command_and_to_others_by_their_own() -> None:
    organisation = make_organisation()
    member = add_member(organisation)
    take_roles(organisation)
    first = why.diagnose(organisation).first
    assert first is not None and first.advice is not None
    assert first.advice.command.startswith(
        f"manage.py restore_admin --organisation {organisation.label} --reason"
    )
    assert f"manage.py org_restore {organisation.label} --dry-run" in first.advice.lift
    others = why.diagnose(organisation, person=member).first
    assert others is not None and others.advice is not None
    assert "gives them a role" in others.advice.lift and not others.advice.command


def test_without_an_owner_it_says_so() -> None:
    organisation = make_organisation()
    Membership.objects.filter(organisation=organisation).delete()
    first = why.diagnose(organisation).first
    assert first is not None and first.advice is not None
    assert "no owner" in first.advice.because


def test_a_look_spends_nothing() -> None:
    organisation = make_organisation()
    before = LimitWindow.objects.count()
    for _ in range(3):
        why.diagnose(organisation)
    assert LimitWindow.objects.count() == before
    use_up(organisation)
    organisation.refresh_from_db()
    counts = sorted(LimitWindow.objects.values_list("key", "count"))
    assert why.diagnose(organisation).blocked
    assert sorted(LimitWindow.objects.values_list("key", "count")) == counts


def test_every_check_says_how_it_is_lifted() -> None:
    """One that is new must come with its title and its advice."""
    for path in live_settings.REQUEST_CHECKS:
        check = import_string(path)
        assert getattr(check, "title", ""), path
        assert callable(getattr(check, "advise", None)), path


def test_as_json() -> None:
    organisation = make_organisation()
    suspend(organisation)
    said = why.diagnose(organisation).as_dict()
    assert said["blocked_by"] == "tenants.door.organisation_state"
    assert {"check", "title", "outcome", "status", "code", "message", "advice"} == set(
        said["checks"][0]
    )
