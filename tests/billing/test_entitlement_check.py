"""The door's entitlement check: 402 for what nobody pays for (hosted-contract section 7.3)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import RequestFactory
from django.utils import timezone

from billing import entitlement
from billing.models import BillingState
from tenants.door import Knock, Refused, Requirement
from tenants.models import Organisation
from tests.billing.rows import billing, organisation, paying

pytestmark = pytest.mark.django_db


def knock(subject: Organisation, capability: str | None = None) -> Knock:
    return Knock(
        request=RequestFactory().get("/"),
        organisation=subject,
        requirement=Requirement("read", "settings", capability),
    )


@pytest.mark.parametrize("state", ["active", "grace", "trial"])
def test_passes_what_is_live(state: str) -> None:
    subject = organisation()
    billing(subject, state)
    entitlement.entitled(knock(subject))


@pytest.mark.parametrize("state", ["expired", "suspended", "canceled"])
def test_refuses_what_is_not(state: str) -> None:
    subject = organisation()
    billing(subject, state)
    with pytest.raises(Refused) as refused:
        entitlement.entitled(knock(subject))
    assert (refused.value.status, refused.value.code) == (402, "subscription_required")


def test_a_trial_ends_to_the_second() -> None:
    subject = organisation()
    billing(subject, trial_ends_at=timezone.now() + timedelta(seconds=30))
    entitlement.entitled(knock(subject))
    BillingState.objects.update(trial_ends_at=timezone.now())
    subject = Organisation.objects.get(pk=subject.pk)  # as the next request reads it
    with pytest.raises(Refused):
        entitlement.entitled(knock(subject))


def test_no_billing_state_is_not_paid() -> None:
    with pytest.raises(Refused) as refused:
        entitlement.entitled(knock(organisation()))
    assert refused.value.code == "subscription_required"


def test_a_missing_capability_is_named() -> None:
    subject = paying()
    entitlement.entitled(knock(subject, "relay"))
    with pytest.raises(Refused) as refused:
        entitlement.entitled(knock(subject, "white_label"))
    assert (refused.value.status, refused.value.code) == (402, "license_required")
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["feature"] == "white_label"
    assert refused.value.body["upgrade_url"].startswith("http")
