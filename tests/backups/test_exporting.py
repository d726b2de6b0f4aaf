"""What the owner takes along: all of it, as JSON and as SQL that PostgreSQL takes, and no secret."""

from __future__ import annotations

import hashlib
import json
import resource
import stat
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import connection

from audit.models import Event
from rbac.models import ApiToken, Role
from relay.models import Registration
from tenants import sealing
from tenants.backups import exporting
from tenants.models import Organisation, SsoProvider, State
from tenants.schema_template import _binary
from tenants.schemas import in_schema
from tests import databases
from tests.backups.filling import ACTOR, SECRET, filled
from tests.factories import make_organisation, make_token, make_user, owner_of


def exported(organisation: Organisation, to: Path) -> tuple[Path, Path, exporting.Exported]:
    made = exporting.export(organisation=organisation, to=to, actor=ACTOR, reason="a test")
    return made.files[0], made.files[1], made


@pytest.mark.django_db
def test_json_has_everything(tmp_path: Path) -> None:
    organisation, other = filled(), filled()
    file, _, made = exported(organisation, tmp_path)
    found = json.loads(file.read_text())
    assert found["organisation"] == {"id": str(organisation.pk), "label": organisation.label}
    tables = found["tables"]
    with in_schema(organisation):
        assert [row["id"] for row in tables["roles"]] == list(
            Role.objects.order_by("pk").values_list("pk", flat=True)
        )
        assert len(tables["api_tokens"]) == ApiToken.objects.count() == 1
    people = {row["email"] for row in tables["people"]}
    assert people == set(organisation.memberships.values_list("user__email", flat=True))
    assert str(owner_of(other).email) not in file.read_text()
    assert len(tables["sso_providers"]) == len(tables["sso_identities"]) == 1
    assert len(tables["invitations"]) == 1
    assert len(tables["audit_events"]) == Event.objects.filter(
        organisation=organisation.pk
    ).exclude(action="org_exported").count()  # fmt: skip
    assert made.rows == {name: len(rows) for name, rows in tables.items()}
    tenant_tables = {m._meta.db_table for m in apps.get_app_config("rbac").get_models()}
    assert {exporting._NAMES.get(t, t) for t in tenant_tables} <= tables.keys()


@pytest.mark.django_db
def test_no_secret_in_either_file(tmp_path: Path) -> None:
    organisation = filled()
    owner = owner_of(organisation)
    owner.set_password("correct horse battery")
    owner.save()
    secret = make_token(organisation)
    sealed = SsoProvider.objects.get(organisation=organisation).client_secret_sealed or b""
    registration = Registration.objects.get(organisation=organisation)
    private = sealing.open_sealed(
        registration.sealed_identity_key, context=str(organisation.pk)
    ).decode()
    forbidden = [
        secret, hashlib.sha256(secret.encode()).hexdigest(), SECRET, bytes(sealed).hex(), private,
        bytes(registration.sealed_identity_key).hex(), owner.password, organisation.schema_name,
    ]  # fmt: skip
    with in_schema(organisation):
        forbidden += list(ApiToken.objects.values_list("token_hash", flat=True))
    for file in exported(organisation, tmp_path)[:2]:
        text = file.read_text()
        assert str(owner.email) in text
        assert [word for word in forbidden if word in text] == []
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.django_db
def test_every_column_that_goes_out_was_looked_at() -> None:
    """A new column shows up here: decide whether a customer may have it."""
    withheld = {
        f"{source.name}.{column}"
        for source in exporting.sources(make_organisation())
        for column in columns_of(source) - source.columns.keys()
    }
    assert withheld == {
        "api_tokens.token_hash",
        "audit_events.actor_id",
        "audit_events.request_id",
        "audit_events.uuid",
        "invitations.token_hash",
        "organisation.attempts",
        "organisation.canary",
        "organisation.failure",
        "organisation.invitation_id",
        "organisation.rbac_version",
        "organisation.requests_per_minute",
        "organisation.schema_name",
        "people.is_active",
        "people.is_staff",
        "people.is_superuser",
        "people.last_login",
        "people.password",
        "relay_registration.sealed_identity_key",
        "relay_registration.sealed_licence",
        "sso_providers.client_secret_sealed",
    }


def columns_of(source: exporting.Source) -> set[str]:
    schema, table = source.table._obj
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s",
            [schema, table],
        )
        return {name for (name,) in cursor.fetchall()}


@pytest.mark.django_db
def test_staff_are_not_named(tmp_path: Path) -> None:
    organisation, staff = filled(), make_user(is_staff=True)
    from audit import trail
    from audit.actors import Actor

    trail.record(
        action="x", actor=Actor.staff(staff), organisation=organisation.pk, address="192.0.2.7",
        path="/admin/secret-page",
    )  # fmt: skip
    for file in exported(organisation, tmp_path)[:2]:
        text = file.read_text()
        assert "Platform staff" in text
        for told in (str(staff.email), str(staff.pk), "192.0.2.7", "/admin/secret-page"):
            assert told not in text


@pytest.mark.django_db
@pytest.mark.parametrize("state", [State.SUSPENDED, State.PENDING_DELETION])
def test_works_while_it_is_shut(state: str, tmp_path: Path) -> None:
    assert exported(make_organisation(state), tmp_path)[2].rows["memberships"] == 1


@pytest.mark.django_db
def test_what_has_no_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(exporting.ExportRefused) as refused:
        exported(make_organisation(State.REQUESTED), tmp_path)
    assert refused.value.code == "nothing_to_export"


@pytest.mark.django_db
def test_half_an_export_does_not_stay(tmp_path: Path) -> None:
    organisation = make_organisation()
    with in_schema(organisation):
        Role.objects.filter(pk="viewer").update(description="x" * 400)
        Role.objects.bulk_create(
            Role(pk=f"r-{number}", name="Many", description="x" * 400) for number in range(1500)
        )
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            exported(organisation, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
    assert not Event.objects.filter(organisation=organisation.pk, action="org_exported").exists()


@pytest.mark.django_db
def test_is_in_the_trail(tmp_path: Path) -> None:
    organisation = make_organisation()
    file, _, _ = exported(organisation, tmp_path)
    event = Event.objects.get(organisation=organisation.pk, action="org_exported")
    assert (event.after or {})["sha256"]["json"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_postgresql_takes_the_sql_and_has_the_same_rows(
    live_db: None, database_name: str, tmp_path: Path
) -> None:
    organisation = filled()
    with in_schema(organisation):
        hostile = "it's \\ \"; DROP TABLE x; --\n\t'; ü ☂ NULL"
        Role.objects.create(pk=f"r-{uuid4().hex[:8]}", name="Hostile", description=hostile)
    file, sql_file, made = exported(organisation, tmp_path)
    scratch = databases.create("exported")
    try:
        psql = _binary().with_name("psql")
        done = subprocess.run(
            [str(psql), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", databases.url(scratch), "-f",
             str(sql_file)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        schema = f"pulsecloud_{organisation.label}".replace("-", "_")
        tables: dict[str, Any] = json.loads(file.read_text())["tables"]
        with databases.looking_into(scratch), connection.cursor() as cursor:
            for name, rows in tables.items():
                cursor.execute(f'SELECT count(*) FROM "{schema}"."{name}"')
                assert cursor.fetchone()[0] == made.rows[name] == len(rows)
            cursor.execute(f'SELECT description FROM "{schema}".roles WHERE name = %s', ["Hostile"])
            assert cursor.fetchone()[0] == hostile
    finally:
        databases.drop(scratch)
