"""What billing does for a new organisation: a trial, and proof that a lease can be signed for it."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from billing import leases, plans
from billing.models import BillingState, Lease, Subscription
from tenants.models import Organisation


def allow_requests(organisation: Organisation) -> None:
    """Writes the request limit of its plan where the door reads it; call it where a plan is set."""
    plan = BillingState.objects.get(organisation=organisation).plan_version
    allowed = plans.requests_per_minute(plan)
    Organisation.objects.filter(pk=organisation.pk).update(requests_per_minute=allowed)


class TrialStep:
    """Writes the trial (hosted-contract section 3.2, row 6). Never touches an existing state (H1)."""

    name = "trial"

    def do(self, organisation: Organisation) -> None:
        now = timezone.now().replace(microsecond=0)
        billing, made = BillingState.objects.get_or_create(
            organisation=organisation,
            defaults={
                "subscription_state": Subscription.TRIAL,
                "plan_version": plans.TRIAL_PLAN,
                "capabilities": plans.capabilities_of(plans.TRIAL_PLAN),
                "trial_started_at": now,
                "trial_ends_at": now + timedelta(days=settings.TRIAL_DAYS),
            },
        )
        if made:
            trail.record(
                action="trial_started",
                actor=Actor.system("provisioning"),
                organisation=organisation.pk,
                subject=organisation.label,
                after={"plan": billing.plan_version, "ends_at": billing.trial_ends_at},
            )
        allow_requests(organisation)

    def undo(self, organisation: Organisation) -> None:
        BillingState.objects.filter(organisation=organisation).delete()


class LeaseStep:
    """Signs a first lease and throws the token away: what cannot be signed shows now, not later.

    The runtime asks for its own as soon as the organisation is active.
    """

    name = "lease"

    def do(self, organisation: Organisation) -> None:
        """Raises billing.leases.LeaseRefused or tenants.sealing.SealError."""
        if not Lease.objects.filter(organisation=organisation).exists():
            leases.issue(organisation, issued_for="provisioning")

    def undo(self, organisation: Organisation) -> None:
        Lease.objects.filter(organisation=organisation).delete()
