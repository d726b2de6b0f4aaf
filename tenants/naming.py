"""What an organisation is called. Its label and its host never change."""

from __future__ import annotations

from django.db import transaction

from audit import trail
from audit.actors import Actor
from tenants import signup_rules
from tenants.http.problems import Problem
from tenants.models import Organisation
from tenants.people import membership


def rename(
    *, organisation: Organisation, display_name: str, actor: Actor, reason: str = ""
) -> Organisation:
    """Raises Problem 400 `invalid_display_name`, 409 `org_not_active`."""
    try:
        name = signup_rules.clean_org_name(display_name)
    except signup_rules.InvalidSignup as invalid:
        raise Problem(400, "invalid_display_name", invalid.message) from None
    with transaction.atomic():
        organisation = membership.active(organisation)
        before = organisation.display_name
        if before == name:
            return organisation
        organisation.display_name = name
        organisation.save(update_fields=["display_name", "changed_at"])
        trail.record(
            action="org_renamed",
            actor=actor,
            organisation=organisation.pk,
            subject=organisation.label,
            reason=reason,
            before={"display_name": before},
            after={"display_name": name},
        )
    return organisation
