"""GET /api/billing: what an organisation has and for how long."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing import plans, subscription
from billing.models import BillingState
from billing.serializers import BillingSerializer
from tenants.door import TenantAPIView, requires
from tenants.models import Organisation


class BillingView(TenantAPIView):
    """Read only: a subscription is changed by the platform and by who pays for it."""

    @extend_schema(
        operation_id="billing_read",
        summary="Subscription, plan, capabilities and limits",
        responses=BillingSerializer,
        examples=[
            OpenApiExample(
                "On trial",
                value={
                    "subscription_state": "trial",
                    "live": True,
                    "plan_version": "cloud_trial",
                    "plan_name": "Cloud trial",
                    "capabilities": ["audit_logging", "rbac", "relay", "sso"],
                    "limits": {},
                    "trial_started_at": 1767225600,
                    "trial_ends_at": 1768435200,
                    "requests_per_minute": 2000,
                },
            )
        ],
    )
    @requires("read", "billing")
    def get(self, request: Request) -> Response:
        organisation = self.knock.known_organisation
        # It is there: without one the entitlement check lets nobody in.
        return Response(_body(organisation, BillingState.objects.get(organisation=organisation)))


def _body(organisation: Organisation, billing: BillingState) -> dict[str, Any]:
    return {
        "subscription_state": billing.subscription_state,
        "live": subscription.is_live(billing, timezone.now()),
        "plan_version": billing.plan_version,
        "plan_name": plans.plan_name(billing.plan_version),
        "capabilities": sorted(billing.capabilities),
        "limits": billing.limits,
        "trial_started_at": _unix(billing.trial_started_at),
        "trial_ends_at": _unix(billing.trial_ends_at),
        "requests_per_minute": organisation.requests_per_minute
        or settings.REQUESTS_PER_ORGANISATION,
    }


def _unix(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None
