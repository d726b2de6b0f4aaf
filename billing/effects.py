"""What billing does when an organisation's life changes."""

from __future__ import annotations

from django.utils import timezone

from billing.models import BillingState, Lease, RefreshToken
from tenants.effects import Effect
from tenants.models import Organisation


class EntitlementEffect(Effect):
    """Purging forgets what was paid, signed and handed out.

    Suspension changes nothing here: `leases.issue` looks at the state itself, and refresh tokens
    stay, because an external runtime told 401 or 410 would forget its own for good.
    """

    name = "entitlement"

    def put_back(self, organisation: Organisation) -> None:
        living = RefreshToken.objects.filter(organisation=organisation, revoked_at=None)
        living.update(revoked_at=timezone.now())

    def purge(self, organisation: Organisation) -> None:
        Lease.objects.filter(organisation=organisation).delete()
        RefreshToken.objects.filter(organisation=organisation).delete()
        BillingState.objects.filter(organisation=organisation).delete()

    def counts(self, organisation: Organisation) -> dict[str, int]:
        refresh = RefreshToken.objects.filter(organisation=organisation, revoked_at=None)
        return {"refresh_tokens": refresh.count()}
