"""What provisioning and purging do in billing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing import leases, plans
from billing.effects import EntitlementEffect
from billing.models import BillingState, Lease, RefreshToken
from billing.provisioning import LeaseStep, TrialStep
from tenants.models import State
from tests.billing.rows import billing, external, organisation, paying

pytestmark = pytest.mark.django_db


def test_trial_is_the_contracts(settings: Any) -> None:
    settings.TRIAL_DAYS = 14
    subject = organisation(state=State.PROVISIONING)
    TrialStep().do(subject)
    state = BillingState.objects.get(organisation=subject)
    assert (state.subscription_state, state.plan_version) == ("trial", "cloud_trial")
    assert state.capabilities == plans.capabilities_of("cloud_trial")
    assert (state.limits, state.meters_enabled) == ({}, [])
    assert state.trial_started_at and state.trial_ends_at
    assert state.trial_ends_at - state.trial_started_at == timedelta(days=14)


def test_trial_never_replaces_what_is_there() -> None:
    subject = paying()
    TrialStep().do(subject)
    assert BillingState.objects.get(organisation=subject).subscription_state == "active"


def test_lease_step_runs_once_and_leaves_a_row() -> None:
    subject = organisation(state=State.PROVISIONING)
    TrialStep().do(subject)
    LeaseStep().do(subject)
    LeaseStep().do(subject)
    assert list(subject.leases.values_list("issued_for", flat=True)) == ["provisioning"]


def test_lease_step_fails_when_nothing_can_be_signed(settings: Any) -> None:
    subject = organisation(state=State.PROVISIONING)
    billing(subject, trial_ends_at=timezone.now() - timedelta(days=1))
    with pytest.raises(leases.LeaseRefused):
        LeaseStep().do(subject)


def test_undo_takes_away_what_was_made_and_nothing_else() -> None:
    other = paying()
    leases.issue(other, issued_for="runtime")
    subject = organisation(state=State.PROVISIONING)
    TrialStep().do(subject)
    LeaseStep().do(subject)
    for step in (LeaseStep(), TrialStep()):
        step.undo(subject)
        step.undo(subject)
    assert not BillingState.objects.filter(organisation=subject).exists()
    assert not Lease.objects.filter(organisation=subject).exists()
    assert BillingState.objects.filter(organisation=other).exists()
    assert Lease.objects.filter(organisation=other).exists()


def test_purge_leaves_nothing() -> None:
    subject = external()
    leases.issue(subject, issued_for="refresh")
    RefreshToken.objects.create(organisation=subject, token_hash="0" * 64)
    for _ in range(2):
        EntitlementEffect().purge(subject)
    for model in (BillingState, Lease, RefreshToken):
        assert not model.objects.filter(organisation=subject).exists()


def test_suspension_leaves_credentials_alone() -> None:
    subject = external()
    RefreshToken.objects.create(organisation=subject, token_hash="1" * 64)
    EntitlementEffect().suspended(subject)
    assert RefreshToken.objects.get(organisation=subject).revoked_at is None
