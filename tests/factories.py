"""Makes people and organisations as the product does: with their schema, roles, trial and relay
registration. Names are unique, so tests can share a database that is never emptied."""

from __future__ import annotations

import itertools
import os
import secrets
from typing import Any

from django.conf import settings
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from tenants import lifecycle, provisioning, schemas, versions
from tenants.accounts.sessions import HOST_KEY
from tenants.hosts import instance_host
from tenants.models import (
    Domain,
    MemberRole,
    Membership,
    Organisation,
    Removal,
    State,
    SuspendedBy,
    User,
)
from tests.waiting import until

_numbers = itertools.count(1)


def unique(prefix: str) -> str:
    """A text that no other test of any process has, of at most 30 characters."""
    return f"{prefix}-{os.getpid() % 100000}-{next(_numbers)}-{secrets.token_hex(3)}"


def make_user(email: str | None = None, *, password: str | None = None, **fields: Any) -> User:
    """A person whose mailbox is proved."""
    fields.setdefault("email_verified_at", timezone.now())
    return User.objects.create_user(email or f"{unique('person')}@example.test", password, **fields)


def add_member(
    organisation: Organisation, role: str = MemberRole.VIEWER, user: User | None = None
) -> User:
    """A member who also has the role of that name inside, as a joined member would."""
    from rbac.builtin import ROLE_OF_MEMBER
    from rbac.models import Assignment

    user = user or make_user()
    Membership.objects.create(organisation=organisation, user=user, role=role)
    with schemas.in_schema(organisation):
        Assignment.objects.create(user=user.pk, role_id=ROLE_OF_MEMBER[role])
    versions.move_on(organisation.pk)
    return user


def make_organisation(
    state: str = State.ACTIVE,
    *,
    owner: User | None = None,
    label: str | None = None,
    **fields: Any,
) -> Organisation:
    """An organisation in `state`, owned by `owner` or a new person.

    Requested, provisioning and failed ones have no schema; all others went through every
    provisioning step, and into their state through the verbs.
    """
    owner = owner or make_user()
    label = label or unique("canary-org" if fields.get("canary") else "org")
    organisation = Organisation.objects.create(
        display_name=fields.pop("display_name", "Example Ltd"),
        label=label,
        schema_name=schemas.new_schema_name(),
        instance_host=instance_host(label),
        owner_email=owner.email or "",
        state=State.PROVISIONING,
        mailbox_proved_at=timezone.now(),
        **fields,
    )
    Domain.objects.create(domain=organisation.instance_host, tenant=organisation)
    Membership.objects.create(organisation=organisation, user=owner, role=MemberRole.OWNER)
    if state in (State.REQUESTED, State.PROVISIONING, State.FAILED, State.EXPIRED):
        Organisation.objects.filter(pk=organisation.pk).update(state=state)
    else:
        _provision(organisation)
        _bring_to(organisation, state)
    organisation.refresh_from_db()
    return organisation


def make_live_organisation(**fields: Any) -> Organisation:
    """An active one in a running product's database, whose worker may be faster than we are."""
    organisation = make_organisation(State.PROVISIONING, **fields)

    def settled() -> bool:
        provisioning.run(organisation.pk)
        organisation.refresh_from_db()
        return organisation.state == State.ACTIVE

    until(settled, 30)
    return organisation


def owner_of(organisation: Organisation) -> User:
    return Membership.objects.get(organisation=organisation, role=MemberRole.OWNER).user


def _provision(organisation: Organisation) -> None:
    """What the worker does, without the worker."""
    provisioning.run(organisation.pk)
    organisation.refresh_from_db()
    assert organisation.state == State.ACTIVE, "is hosted mode off?"


def _bring_to(organisation: Organisation, state: str) -> None:
    """By the verbs; what no verb leaves behind is only written down, as `put_in_state` does."""
    actor = Actor.system("test")
    if state == State.ACTIVE:
        return
    if state == State.SUSPENDED:
        lifecycle.suspend(organisation=organisation, by=SuspendedBy.PLATFORM, actor=actor)
        return
    lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.PLATFORM, actor=actor)
    if state != State.PENDING_DELETION:
        put_in_state(organisation, state)


def put_in_state(organisation: Organisation, state: str) -> None:
    """Writes a state down with the fields that it needs, without a verb and without its effects:
    for tests of what looks at the state itself. The instance stays as it was."""
    fields: dict[str, Any] = {
        "suspended_at": None,
        "suspended_by": "",
        "suspend_reason": "",
        "deletion_requested_at": None,
        "retention_days": None,
        "state_before_deletion": "",
        "deleted_at": None,
    }
    now = timezone.now()
    if state == State.SUSPENDED:
        fields |= {"suspended_at": now, "suspended_by": SuspendedBy.PLATFORM}
    if state in (State.PENDING_DELETION, State.PURGING):
        fields |= {
            "deletion_requested_at": now,
            "retention_days": 30,
            "state_before_deletion": State.ACTIVE,
        }
    if state == State.DELETED:
        fields["deleted_at"] = now
    if state not in (State.PENDING_DELETION, State.PURGING):
        Removal.objects.filter(organisation=organisation).delete()
    Organisation.objects.filter(pk=organisation.pk).update(state=state, **fields)


def sign_in(client: Client, user: User, organisation: Organisation | None = None) -> None:
    """A session of `user` on the organisation's host, or on the base domain."""
    client.force_login(user)
    session = client.session
    session[HOST_KEY] = organisation.instance_host if organisation else settings.BASE_DOMAIN
    session.save()


def make_token(organisation: Organisation, *scopes: str, user: User | None = None) -> str:
    """The secret of a new API token of the owner (or of `user`); all scopes unless told."""
    from rbac import tokens

    _, secret = tokens.issue(
        organisation,
        user=user or owner_of(organisation),
        name="test",
        scopes=scopes or ("*",),
        actor=Actor.system("test"),
    )
    return secret
