"""Rows for billing tests: an organisation and its billing state, without a schema."""

from __future__ import annotations

import secrets
import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone

from billing import plans
from billing.models import BillingState
from tenants.models import Organisation, Runtime
from tests.factories import put_in_state


def organisation(*, state: str = "active", **fields: Any) -> Organisation:
    label = fields.pop("label", f"bill-{secrets.token_hex(6)}")
    made = Organisation.objects.create(
        display_name=fields.pop("display_name", "Example Ltd"),
        label=label,
        schema_name=f"org_{uuid.uuid4().hex}",
        instance_host=f"{label}.localhost",
        owner_email="owner@example.test",
        **fields,
    )
    put_in_state(made, state)
    made.refresh_from_db()
    return made


def billing(subject: Organisation, subscription: str = "trial", **fields: Any) -> BillingState:
    """A billing state; a trial began now and ends in 14 days unless told otherwise."""
    now = timezone.now()
    defaults: dict[str, Any] = {
        "plan_version": plans.TRIAL_PLAN if subscription == "trial" else "cloud_starter",
        "capabilities": plans.capabilities_of(plans.TRIAL_PLAN),
    }
    if subscription == "trial":
        defaults |= {"trial_started_at": now, "trial_ends_at": now + timedelta(days=14)}
    return BillingState.objects.create(
        organisation=subject, subscription_state=subscription, **(defaults | fields)
    )


def paying(**fields: Any) -> Organisation:
    subject = organisation(**fields)
    billing(subject, "active")
    return subject


def external(**fields: Any) -> Organisation:
    return paying(runtime=Runtime.EXTERNAL, **fields)
