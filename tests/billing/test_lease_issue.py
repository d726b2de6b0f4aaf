"""Who gets a lease, who does not, and what is left behind."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from billing import leases
from billing.models import BillingState, Lease
from tenants.models import State
from tests.billing.rows import billing, organisation, paying
from tests.factories import put_in_state

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("state", sorted(set(State.values) - {State.ACTIVE}))
def test_refused_unless_active(state: str) -> None:
    with pytest.raises(leases.LeaseRefused) as refused:
        leases.issue(paying(state=state), issued_for="runtime")
    assert refused.value.code == "not_active"


def test_provisioning_may_sign_only_while_provisioning() -> None:
    assert leases.issue(paying(state=State.PROVISIONING), issued_for="provisioning").token
    with pytest.raises(leases.LeaseRefused):
        leases.issue(paying(), issued_for="provisioning")


def test_state_is_read_afresh() -> None:
    stale = paying()
    put_in_state(stale, State.SUSPENDED)
    with pytest.raises(leases.LeaseRefused):
        leases.issue(stale, issued_for="runtime")


@pytest.mark.parametrize("subscription", ["expired", "suspended", "canceled"])
def test_refused_when_nothing_is_paid(subscription: str) -> None:
    subject = organisation()
    billing(subject, subscription)
    with pytest.raises(leases.LeaseRefused) as refused:
        leases.issue(subject, issued_for="runtime")
    assert refused.value.code == "not_entitled"


@pytest.mark.parametrize("subscription", ["active", "grace", "trial"])
def test_issued_when_paid_in_grace_or_on_trial(subscription: str) -> None:
    subject = organisation()
    billing(subject, subscription)
    assert leases.issue(subject, issued_for="runtime").expires_at > timezone.now()


@pytest.mark.parametrize("end", [timedelta(seconds=-1), None])
def test_lapsed_or_endless_trial_unlocks_nothing(end: timedelta | None) -> None:
    subject = organisation()
    billing(subject, trial_ends_at=timezone.now() + end if end is not None else None)
    with pytest.raises(leases.LeaseRefused) as refused:
        leases.issue(subject, issued_for="runtime")
    assert refused.value.code == "not_entitled"
    assert not Lease.objects.filter(organisation=subject).exists()


def test_refused_without_billing_state() -> None:
    with pytest.raises(leases.LeaseRefused) as refused:
        leases.issue(organisation(), issued_for="runtime")
    assert refused.value.code == "not_ready"


def test_each_issue_leaves_a_row_without_the_token() -> None:
    subject = paying()
    lease = leases.issue(subject, issued_for="runtime")
    row = Lease.objects.get(organisation=subject)
    assert (row.expires_at, row.issued_for) == (lease.expires_at, "runtime")
    stored = Lease.objects.filter(pk=row.pk).values().get()
    assert not any(part in str(stored) for part in lease.token.split("."))


def test_keeps_the_last_rows_only() -> None:
    subject, other = paying(), paying()
    leases.issue(other, issued_for="runtime")
    for _ in range(leases.KEPT_ROWS + 5):
        leases.issue(subject, issued_for="runtime")
    assert Lease.objects.filter(organisation=subject).count() == leases.KEPT_ROWS
    assert Lease.objects.filter(organisation=other).count() == 1


def test_limits_and_meters_are_claimed_when_there_are_any() -> None:
    import jwt

    subject = paying()
    BillingState.objects.filter(organisation=subject).update(
        limits={"max_users": 5}, meters_enabled=["ai_tokens"]
    )
    token = leases.issue(subject, issued_for="runtime").token
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["limits"], claims["meters_enabled"]) == ({"max_users": 5}, ["ai_tokens"])
