"""Staff see an organisation's phones and tokens on its page, and revoke them with a reason."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from audit.actors import Actor
from audit.models import Event
from rbac import mobile, tokens
from rbac.models import ApiToken
from tenants.models import Organisation, User
from tenants.schemas import in_schema
from tests.admin import staff
from tests.admin.staff import HOSTILE
from tests.factories import make_organisation, make_token, owner_of

pytestmark = pytest.mark.django_db


def page(organisation: Organisation) -> str:
    change = reverse("admin:tenants_organisation_change", args=[organisation.pk])
    return f"{change}?tab=people"


def phone(organisation: Organisation, name: str = "Anna's phone") -> tuple[ApiToken, str]:
    return tokens.issue(
        organisation,
        user=owner_of(organisation),
        name=name,
        scopes=[mobile.SCOPE],
        purpose=mobile.PURPOSE,
        actor=Actor.system("test"),
    )


def revoke(organisation: Organisation, token_id: Any) -> str:
    return reverse("admin:tenants_organisation_revoke_token", args=[organisation.pk, token_id])


def now(organisation: Organisation, token: ApiToken) -> ApiToken:
    with in_schema(organisation):
        return ApiToken.objects.get(pk=token.pk)


@pytest.fixture
def organisation() -> Organisation:
    return make_organisation()


def test_shows_them_without_secrets(client: Client, organisation: Organisation) -> None:
    token, secret = phone(organisation)
    program = make_token(organisation, "settings:read")
    text = client.get(page(organisation)).content.decode()
    assert "Anna&#x27;s phone" in text and str(owner_of(organisation)) in text
    assert secret not in text and program not in text and token.token_hash not in text
    assert secret[:8] in text and program[:8] in text and "Read" in text


def test_says_when_there_are_none_or_they_cannot_be_read(
    client: Client, organisation: Organisation
) -> None:
    assert "There are none" in client.get(page(organisation)).content.decode()
    assert "There are none" in client.get(page(make_organisation("failed"))).content.decode()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f'DROP SCHEMA "{organisation.schema_name}" CASCADE')
    answer = client.get(page(organisation))
    assert answer.status_code == 200 and "cannot be read now" in answer.content.decode()


@pytest.mark.parametrize("state", ["active", "suspended"])
def test_revokes_with_a_reason(client: Client, superuser: User, state: str) -> None:
    organisation = make_organisation(state)
    token, secret = phone(organisation)
    path = revoke(organisation, token.pk)
    assert "shut out for good" in client.get(path).content.decode()
    assert "This field is required" in client.post(path, {"reason": " "}).content.decode()
    assert now(organisation, token).revoked_at is None
    answer = client.post(path, {"reason": "phone was stolen"}, follow=True)
    assert "Revoked: Anna" in answer.content.decode()
    assert now(organisation, token).revoked_at is not None
    event = Event.objects.get(action="token_revoked", organisation=organisation.pk)
    assert (event.actor_kind, event.actor_id, event.reason) == (
        "staff",
        str(superuser.pk),
        "phone was stolen",
    )
    assert "Nothing to do" in client.get(path).content.decode()
    assert not tokens.is_valid(organisation, secret)


def test_is_for_staff_who_may_change_organisations(organisation: Organisation) -> None:
    token, _ = phone(organisation)
    reader = staff.signed_in(staff.staff_with("view_organisation"))
    assert revoke(organisation, token.pk) not in reader.get(page(organisation)).content.decode()
    path, data = revoke(organisation, token.pk), {"reason": "x"}
    assert reader.post(path, data).status_code == 403
    customer = staff.signed_in(owner_of(organisation))
    assert customer.post(path, data).status_code in (302, 403, 404)
    assert Client(headers={"host": staff.HOST}).post(path, data).status_code in (302, 403, 404)
    assert now(organisation, token).revoked_at is None


def test_what_is_not_there(client: Client, organisation: Organisation) -> None:
    elsewhere, _ = phone(make_organisation())
    for where, token_id in (
        (organisation, uuid.uuid4()),
        (organisation, elsewhere.pk),
        (make_organisation("failed"), elsewhere.pk),
        (Organisation(pk=uuid.uuid4()), elsewhere.pk),
    ):
        assert client.post(revoke(where, token_id), {"reason": "x"}).status_code == 404


def test_hostile_names_are_text(client: Client, organisation: Organisation) -> None:
    token, _ = phone(organisation, HOSTILE)
    for path in (page(organisation), revoke(organisation, token.pk)):
        assert "<script>alert" not in client.get(path).content.decode()


def test_many_cost_as_many_queries_as_few(
    client: Client, organisation: Organisation, django_assert_max_num_queries: Any
) -> None:
    from django.test.utils import CaptureQueriesContext

    phone(organisation)
    client.get(page(organisation))
    with CaptureQueriesContext(connection) as one:
        client.get(page(organisation))
        queries = len(one.captured_queries)
    for _ in range(60):
        phone(organisation)
    with django_assert_max_num_queries(queries + 2):  # its trail is longer as well
        text = client.get(page(organisation)).content.decode()
    assert "there are more" in text
