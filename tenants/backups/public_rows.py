"""Puts an organisation's rows in `public` back as a backup held them.

Replaced: people's places, single sign-on providers and identities, and on the organisation's own row its
name, its owner's address and whether single sign-on is required. Put back only when they are gone:
host names, billing state, relay registration and licence, so that yesterday's payment or identity
never comes over today's. Left alone: the state, and everything that a backup does not hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.core import serializers

from tenants.backups import contents
from tenants.backups.loading import RestoreRefused
from tenants.models import MemberRole, Membership, Organisation, SsoIdentity, SsoProvider, User

OWN_FIELDS: Final = ("display_name", "owner_email", "sso_required")
WHEN_GONE: Final = (
    "tenants.domain",
    "billing.billingstate",
    "relay.registration",
    "relay_server.licencebinding",
)


@dataclass(frozen=True)
class People:
    """Who will belong to it: {user: role}. `kept_owner` says that the backup's owner has no open account
    any more, so that the present one stays, who was `owner_was` then (a viewer at most, when no member
    at all). `missing` are members whose account is gone."""

    roles: dict[UUID, str]
    owner: UUID
    owner_was: str
    kept_owner: bool
    missing: int


def people(organisation: Organisation, public: dict[str, bytes]) -> People:
    """Raises RestoreRefused `no_owner`."""
    then = {
        UUID(row["fields"]["user"]): str(row["fields"]["role"])
        for row in _rows(public, "tenants.membership")
    }
    there = dict(User.objects.filter(pk__in=then).values_list("pk", "is_active"))
    roles = {user: role for user, role in then.items() if user in there}
    owner = next((user for user, role in then.items() if role == MemberRole.OWNER), None)
    if owner is not None and there.get(owner):
        return People(roles, owner, MemberRole.OWNER, False, len(then) - len(roles))
    present = organisation.memberships.filter(role=MemberRole.OWNER, user__is_active=True).first()
    if present is None:
        raise RestoreRefused(
            "no_owner", "Its owner of then has no open account, and it has no owner now."
        )
    was = roles.get(present.user_id, MemberRole.VIEWER)
    for user, role in roles.items():
        if role == MemberRole.OWNER:
            roles[user] = MemberRole.ADMIN
    roles[present.user_id] = MemberRole.OWNER
    return People(roles, present.user_id, str(was), True, len(then) - len(roles))


def providers(organisation: Organisation, public: dict[str, bytes]) -> dict[str, str]:
    """{id: name} of its single sign-on providers, of then and now."""
    then = {str(row["pk"]): row["fields"]["name"] for row in _rows(public, "tenants.ssoprovider")}
    now = {str(each.pk): each.name for each in organisation.sso_providers.all()}
    return then | now


def now(organisation: Organisation) -> dict[UUID, str]:
    return dict(organisation.memberships.values_list("user_id", "role"))


def put_back(organisation: Organisation, public: dict[str, bytes]) -> list[str]:
    """In the transaction of the switch, the organisation locked. Returns which of WHEN_GONE came back."""
    belongs = people(organisation, public)
    added = {
        row["fields"]["user"]: row["fields"]["added_at"]
        for row in _rows(public, "tenants.membership")
    }
    organisation.memberships.all().delete()
    for user, role in belongs.roles.items():
        place = Membership(organisation=organisation, user_id=user, role=role)
        if str(user) in added:
            place.added_at = Membership._meta.get_field("added_at").to_python(added[str(user)])
        place.save(force_insert=True)
    SsoIdentity.objects.filter(organisation=organisation).delete()
    SsoProvider.objects.filter(organisation=organisation).delete()
    for provider in _objects(public, "tenants.ssoprovider"):
        provider.save_base(raw=True, force_insert=True)
    for identity in _objects(public, "tenants.ssoidentity"):
        if User.objects.filter(pk=identity.user_id).exists():
            identity.pk = None  # the number may be somebody else's by now
            identity.save_base(raw=True, force_insert=True)
    for row in _rows(public, "tenants.organisation"):
        for name in OWN_FIELDS:
            if name in row["fields"] and not (name == "owner_email" and belongs.kept_owner):
                setattr(organisation, name, row["fields"][name])
    return [label for label in WHEN_GONE if _put_missing(organisation, label, public)]


def _put_missing(organisation: Organisation, label: str, public: dict[str, bytes]) -> bool:
    if contents.rows_of(label, organisation).exists():
        return False
    came = False
    for row in _objects(public, label):
        model = type(row)
        if model._meta.auto_field is not None:
            row.pk = None
        elif model._default_manager.filter(pk=row.pk).exists():
            continue  # another organisation has it by now, as an attached licence
        row.save_base(raw=True, force_insert=True)
        came = True
    return came


def _rows(public: dict[str, bytes], label: str) -> Iterator[dict[str, Any]]:
    for line in public.get(label, b"").splitlines():
        yield json.loads(line)


def _objects(public: dict[str, bytes], label: str) -> Iterator[Any]:
    """Unsaved objects of a model; columns that this release does not have are dropped. To be saved raw,
    or times that Django sets by itself would be today's."""
    for row in _rows(public, label):
        for found in serializers.deserialize("python", [row], ignorenonexistent=True):
            yield found.object
