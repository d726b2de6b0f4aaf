"""Keeps roles in step with membership: who joins gets the built-in role of their place, who leaves
loses every role and token (contract section 9; design section 6, "Roles").

Receivers of `tenants.signals`, run inside the membership verb's transaction: what fails here undoes
the change of membership too. A membership gives a role, so the rule of rbac.escalation holds here
as well: a person gives and takes no more than they have themselves, and nobody joins as more than
the one who invited them has by then.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from audit.actors import Actor
from rbac import attempts, changes, escalation, tokens
from rbac.authorizer import grants_of
from rbac.builtin import ROLE_OF_MEMBER
from rbac.models import ApiToken, Assignment
from rbac.role_tree import Tree
from tenants import notify, signals, versions
from tenants.http.problems import Problem
from tenants.models import MemberRole, Organisation
from tenants.schemas import in_schema


def connect() -> None:
    """Called once, when the app is ready."""
    signals.role_offered.connect(on_offered, dispatch_uid="rbac.people.offered")
    signals.member_added.connect(on_added, dispatch_uid="rbac.people.added")
    signals.member_changed.connect(on_changed, dispatch_uid="rbac.people.changed")
    signals.member_removed.connect(on_removed, dispatch_uid="rbac.people.removed")


def on_offered(*, organisation: Organisation, role: str, by: UUID, **_: Any) -> None:
    """Whether this member may give that place now: change people, and give all its role names.

    Raises Problem 403 `forbidden`, `escalation_denied`; 409 `org_not_active` without roles yet.
    """
    if organisation.provisioned_at is None:
        raise Problem(409, "org_not_active", "The organisation is still being set up.")
    with in_schema(organisation):
        standing = attempts.standing_of(Actor("person", str(by)))
        escalation.require(standing, Tree.load().grants([ROLE_OF_MEMBER[role]]))


def on_added(
    *, organisation: Organisation, user_id: UUID, actor: Actor, role: str, **_: Any
) -> None:
    """The built-in role of the membership; roles that are there already stay.

    Before provisioning there is no schema: the roles step assigns all members then.
    Raises Problem 403 `escalation_denied`.
    """
    if organisation.provisioned_at is not None:
        _replace(organisation, user_id, lose=None, gain=role, actor=actor)


def on_changed(
    *, organisation: Organisation, user_id: UUID, actor: Actor, before: str, after: str, **_: Any
) -> None:
    """The old membership's built-in role goes, the new one's comes; custom roles stay, except that
    an owner keeps none that denies anything. Raises Problem 403 `escalation_denied`."""
    if organisation.provisioned_at is not None:
        _replace(organisation, user_id, lose=before, gain=after, actor=actor)


def on_removed(*, organisation: Organisation, user_id: UUID, actor: Actor, **_: Any) -> None:
    """No roles, no live tokens; the runtime hears of it, so that open channels close.

    Raises Problem 403 `escalation_denied`.
    """
    if organisation.provisioned_at is None:
        return
    versions.move_on(organisation.pk)
    with in_schema(organisation):
        held = changes.roles_held(user_id)
        _require(Tree.load(), held, user_id, actor)
        Assignment.objects.filter(user=user_id).delete()
        if held:
            changes.log(
                "user_unassigned",
                "assignment",
                str(user_id),
                old={"roleIds": held},
                new=None,
                actor=actor,
            )
        live = ApiToken.objects.filter(user=user_id, revoked_at__isnull=True)
        for token_id in live.values_list("pk", flat=True):
            tokens.revoke(
                organisation, token_id, actor=actor, reason="its person left the organisation"
            )
    # Channels that opened with a token that was just revoked elsewhere are looked at as well.
    notify.notify(notify.RUNTIME, organisation.pk)


def _replace(
    organisation: Organisation, user_id: UUID, *, lose: str | None, gain: str, actor: Actor
) -> None:
    """`lose` and `gain` are memberships."""
    versions.move_on(organisation.pk)  # locks: two changes of one person go one after the other
    with in_schema(organisation):
        old = changes.roles_held(user_id)
        tree = Tree.load()
        gone = {ROLE_OF_MEMBER[lose]} & set(old) if lose else set()
        come = ROLE_OF_MEMBER[gain]
        if gone != {come}:
            _require(tree, [*gone, come], user_id, actor)
        if gain == MemberRole.OWNER:
            gone |= {r for r in old if any(g.effect != "allow" for g in tree.grants([r]))}
        Assignment.objects.filter(user=user_id, role_id__in=gone - {come}).delete()
        Assignment.objects.get_or_create(user=user_id, role_id=come)
        new = changes.roles_held(user_id)
        if new != old:
            changes.log(
                "user_roles_updated",
                "assignment",
                str(user_id),
                old={"roleIds": old},
                new={"roleIds": new},
                actor=actor,
            )


def _require(tree: Tree, role_ids: list[str], user_id: UUID, actor: Actor) -> None:
    """Who acts on somebody else needs all that these roles name. Oneself one may only leave, and
    join: as single sign-on says, or as one was invited by somebody whom `on_offered` judged."""
    if actor.kind == "person" and actor.id != str(user_id):
        by = UUID(actor.id)
        standing = escalation.Standing(by, grants=tuple(grants_of(by)))
        escalation.require(standing, tree.grants(role_ids))
