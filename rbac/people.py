"""Keeps roles in step with membership: who joins gets the built-in role of their place, who leaves
loses every role and token (contract section 9; design section 6, "Roles").

Receivers of `tenants.signals`, run inside the membership verb's transaction: what fails here undoes
the change of membership too.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from audit.actors import Actor
from rbac import changes, tokens
from rbac.builtin import ROLE_OF_MEMBER
from rbac.models import ApiToken, Assignment
from tenants import notify, signals, versions
from tenants.models import Organisation
from tenants.schemas import in_schema


def connect() -> None:
    """Called once, when the app is ready."""
    signals.member_added.connect(on_added, dispatch_uid="rbac.people.added")
    signals.member_changed.connect(on_changed, dispatch_uid="rbac.people.changed")
    signals.member_removed.connect(on_removed, dispatch_uid="rbac.people.removed")


def on_added(
    *, organisation: Organisation, user_id: UUID, actor: Actor, role: str, **_: Any
) -> None:
    """The built-in role of the membership; roles that are there already stay.

    Before provisioning there is no schema: the roles step assigns all members then.
    """
    if organisation.provisioned_at is not None:
        _replace(organisation, user_id, lose=None, gain=ROLE_OF_MEMBER[role], actor=actor)


def on_changed(
    *, organisation: Organisation, user_id: UUID, actor: Actor, before: str, after: str, **_: Any
) -> None:
    """The old membership's built-in role goes, the new one's comes; custom roles stay."""
    if organisation.provisioned_at is not None:
        lose, gain = ROLE_OF_MEMBER[before], ROLE_OF_MEMBER[after]
        _replace(organisation, user_id, lose=lose, gain=gain, actor=actor)


def on_removed(*, organisation: Organisation, user_id: UUID, actor: Actor, **_: Any) -> None:
    """No roles, no live tokens; the runtime hears of it, so that open channels close."""
    if organisation.provisioned_at is None:
        return
    versions.move_on(organisation.pk)
    with in_schema(organisation):
        held = changes.roles_held(user_id)
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
    versions.move_on(organisation.pk)  # locks: two changes of one person go one after the other
    with in_schema(organisation):
        old = changes.roles_held(user_id)
        if lose is not None and lose != gain:
            Assignment.objects.filter(user=user_id, role_id=lose).delete()
        Assignment.objects.get_or_create(user=user_id, role_id=gain)
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
