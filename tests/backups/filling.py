"""Organisations with something in every table, and the ways in which they lose it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db import connection

from audit.actors import Actor
from rbac.authorizer import Grant
from rbac.models import Assignment, GroupMapping
from tenants import metrics, sealing
from tenants.backups import contents, making
from tenants.models import Backup, BackupKind, Organisation, SsoIdentity, SsoProvider
from tenants.people import member_invitations
from tenants.schemas import in_schema
from tests.factories import add_member, make_organisation, make_token, make_user, owner_of
from tests.rbac.people import make_role

ACTOR = Actor.system("test")
SECRET = "a-client-secret-nobody-may-see"


def filled(**fields: Any) -> Organisation:
    """An organisation with people, a role of its own, tokens, an invitation and single sign-on."""
    organisation = make_organisation(**fields)
    editor = add_member(organisation, "editor")
    add_member(organisation, "viewer")
    make_role(organisation, "night-shift", Grant("read", "nodes"), Grant("admin", "*", "deny"))
    provider = SsoProvider.objects.create(
        organisation=organisation,
        slug="work",
        name="Work\tand\nlines \\ \x7f ü",
        issuer="https://id.example.test",
        client_secret_sealed=sealing.seal(SECRET.encode(), context=str(organisation.pk)),
    )
    SsoIdentity.objects.create(
        organisation=organisation, provider=provider, issuer=provider.issuer, subject="1",
        user=editor, email="claimed@example.test", groups=["ops"],
    )  # fmt: skip
    with in_schema(organisation):
        Assignment.objects.create(user=editor.pk, role_id="night-shift")
        GroupMapping.objects.create(provider=provider.pk, group="ops", role_id="night-shift")
    make_token(organisation)
    owner = owner_of(organisation)
    member_invitations.invite(
        organisation=organisation, email=make_user().email or "", role="viewer",
        actor=Actor.person(owner), by=owner,
    )  # fmt: skip
    return organisation


def back_up(organisation: Organisation, kind: str = BackupKind.MANUAL) -> Backup:
    return making.back_up(
        organisation=organisation, kind=BackupKind(kind), actor=ACTOR, reason="a test"
    )


def file_of(backup: Backup) -> Path:
    return making.path_of(backup)


def destroy_schema(organisation: Organisation) -> None:
    """What nothing of ours would ever do: the tables of a living customer are gone."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f'DROP SCHEMA "{organisation.schema_name}" CASCADE')


def state_of(organisation: Organisation) -> dict[str, tuple[int, str]]:
    """(rows, digest) of everything a backup of it would hold now."""
    organisation.refresh_from_db()
    with contents.one_moment(organisation.schema_name):
        return {name: contents.digest(rows) for name, _, rows in contents.parts(organisation)}


def failed_so_far() -> float:
    """What the counter of failed backups shows of this process."""
    return float(metrics._backups.labels(result="failure")._value.get())
