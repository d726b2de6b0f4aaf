"""`manage.py migrate` works on a database with organisations in every state."""

from __future__ import annotations

from io import StringIO

from django.core.management import call_command
from django.db import connection

from rbac.models import Role
from tenants import schemas
from tenants.models import State
from tenants.schemas import in_schema
from tests.factories import make_organisation


def test_works_with_organisations_that_have_no_schema(live_db: None) -> None:
    requested, failed = make_organisation(State.REQUESTED), make_organisation(State.FAILED)
    gone, living = make_organisation(State.DELETED), make_organisation()
    schemas.drop_schema(gone.schema_name)
    with connection.cursor() as cursor:
        cursor.execute(f'DELETE FROM "{living.schema_name}".django_migrations')
        for table in ("apitoken", "assignment", "change", "groupmapping", "permission", "role"):
            cursor.execute(f'DROP TABLE "{living.schema_name}".rbac_{table} CASCADE')
    said = StringIO()
    call_command("migrate", verbosity=0, stdout=said)
    assert "1 schema migrated" in said.getvalue()
    for organisation in (requested, failed, gone):
        assert not schemas.schema_exists(organisation.schema_name)
    with in_schema(living):
        assert not Role.objects.exists()
    said = StringIO()
    call_command("migrate", verbosity=0, stdout=said)
    assert "0 schemas migrated" in said.getvalue()
