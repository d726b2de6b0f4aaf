"""Whether members must come by single sign-on."""

from __future__ import annotations

from django.db import transaction

from audit import trail
from audit.actors import Actor
from tenants.accounts import sso_people
from tenants.http.problems import Problem
from tenants.models import Organisation
from tenants.people import membership


def require(*, organisation: Organisation, on: bool, actor: Actor, reason: str = "") -> None:
    """Whether members must come by single sign-on; the owner's own sign-in always works.

    Switched on, it signs out who came otherwise. Raises Problem 409 `no_provider` while nothing is
    switched on that they could use, and `org_not_active`.
    """
    with transaction.atomic():
        organisation = membership.active(organisation)
        if organisation.sso_required == on:
            return
        if on and not sso_people.is_on(organisation):
            raise Problem(409, "no_provider", "Switch a provider on first, and sign in through it.")
        organisation.sso_required = on
        organisation.save(update_fields=["sso_required", "changed_at"])
        ended = sso_people.end_other_sessions(organisation) if on else 0
        trail.record(
            action="sso_requirement_changed",
            actor=actor,
            organisation=organisation.pk,
            subject=f"organisation {organisation.label}",
            reason=reason,
            before={"sso_required": not on},
            after={"sso_required": on, "sessions_ended": ended},
        )
