"""The door asks the database a fixed number of times, however large the organisation is."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tenants import schemas
from tenants.models import Membership, Organisation
from tests.factories import add_member, make_organisation, make_token, owner_of, sign_in

pytestmark = pytest.mark.django_db


def statements(organisation: Organisation, client: Client, **headers: Any) -> list[str]:
    """What one warm request sends; a SET before a query travels with it."""
    host = organisation.instance_host
    for _ in range(2):
        with CaptureQueriesContext(connection) as asked:
            assert client.get("/api/organisation", HTTP_HOST=host, **headers).status_code == 200
    return [query["sql"] for query in asked.captured_queries]


def both_ways(organisation: Organisation) -> tuple[int, int]:
    client = Client()
    sign_in(client, owner_of(organisation), organisation)
    by_session = statements(organisation, client)
    by_token = statements(organisation, Client(), HTTP_X_API_TOKEN=make_token(organisation))
    return len(by_session), len(by_token)


def test_a_small_and_a_large_organisation_ask_the_same() -> None:
    small, large = make_organisation(), make_organisation()
    for _ in range(20):
        member = add_member(large)
        make_token(large, "settings:read", user=member)
    assert both_ways(small) == both_ways(large)
    # Session: organisation with billing, session, person, membership, schema. Token: organisation
    # with billing, schema, token, membership with person, schema. In a transaction, as here, no
    # connection is looked at for its health.
    assert both_ways(small) == (5, 5)


def test_who_is_asked_in_which_schema() -> None:
    """People and memberships are read in `public`, tokens in the organisation's own schema."""
    organisation = make_organisation()
    asked = statements(organisation, Client(), HTTP_X_API_TOKEN=make_token(organisation))
    own = f'SET search_path = "{organisation.schema_name}", "public"'
    at = [sql for sql in asked if "search_path" in sql]
    assert [sql.partition(";")[0] for sql in at] == ['SET search_path = "public"', own] * 2
    assert 'FROM "tenants_organisation"' in at[0] and 'FROM "tenants_membership"' in at[2]


def test_a_rollback_does_not_leave_the_schema_unsaid() -> None:
    """What was told inside goes back with the transaction, and is told again."""
    organisation = make_organisation()
    for _ in range(2):
        with schemas.in_schema(organisation):
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                _ = 1 / 0
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_schema()")
                assert cursor.fetchone()[0] == organisation.schema_name
        assert Membership.objects.filter(organisation=organisation).exists()
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            assert cursor.fetchone()[0] == "public"
