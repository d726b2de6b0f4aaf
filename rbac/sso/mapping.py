"""Groups -> roles, authoritative (hosted-contract section 11.3): while a provider maps any group,
the roles of its groups replace those of everybody who signs in through it, at every sign-in; no
match clears them. All of it stands and acts in one organisation's schema only (C8)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from django.db import transaction

from audit import trail
from audit.actors import Actor
from rbac import changes, holding
from rbac.models import Assignment, GroupMapping
from rbac.role_tree import Tree
from rbac.sso import claims
from rbac.sso.refusals import SsoRefused
from tenants import versions
from tenants.models import MemberRole, Membership, Organisation, SsoProvider, User
from tenants.schemas import in_schema

MOST: Final = 200  # groups that one provider may map


def of(provider: SsoProvider) -> dict[str, str]:
    """Folded group name -> role id, by name. Call it in the organisation's schema."""
    rows = GroupMapping.objects.filter(provider=provider.pk).order_by("group")
    return dict(rows.values_list("group", "role_id"))


def apply(
    *,
    organisation: Organisation,
    provider: SsoProvider,
    user: User,
    groups: Collection[str],
    actor: Actor,
) -> list[str] | None:
    """Gives the person exactly the roles of these groups; returns them, or None where nothing is
    mapped and roles stay as they are. The owner's roles are never touched.

    Call it in the transaction of the sign-in. Raises SsoRefused `too_many_permissions` where these
    roles come to more than one person may hold.
    """
    with transaction.atomic():
        versions.move_on(organisation.pk)  # locks: sign-ins and role changes one after the other
        with in_schema(organisation):
            mapping = of(provider)
            if not mapping or _is_owner(organisation, user):
                return None
            before = changes.roles_held(user.pk)
            wanted = claims.roles_for(groups, mapping)
            held = holding.count(Tree.load(), wanted)
            if held > holding.MOST:
                raise SsoRefused("too_many_permissions", f"{held}, by the roles of their groups")
            if set(wanted) == set(before):
                return wanted
            Assignment.objects.filter(user=user.pk).exclude(role_id__in=wanted).delete()
            Assignment.objects.bulk_create(
                Assignment(user=user.pk, role_id=role) for role in wanted if role not in before
            )
            changes.log(
                "user_roles_updated",
                "assignment",
                str(user.pk),
                old={"roleIds": before},
                new={"roleIds": sorted(wanted)},
                actor=actor,
            )
        trail.record(
            action="sso_oidc_role_assignment",
            actor=actor,
            organisation=organisation.pk,
            subject=f"user {user.pk}",
            before={"roles": before},
            after={"roles": wanted, "provider": provider.slug, "groups": list(groups)[:50]},
        )
    return wanted


def _is_owner(organisation: Organisation, user: User) -> bool:
    return Membership.objects.filter(
        organisation=organisation, user=user, role=MemberRole.OWNER
    ).exists()
