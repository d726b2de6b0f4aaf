"""A phone that a program pairs does not outlive the program's token."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from rbac import tokens
from rbac.models import ApiToken
from tenants.models import Organisation
from tenants.schemas import in_schema
from tests.factories import make_organisation, owner_of, sign_in

pytestmark = pytest.mark.django_db
MINT = "/api/security/tokens/relay-mobile"


def mint(organisation: Organisation, client: Client, **headers: Any) -> ApiToken:
    answer = client.post(
        MINT,
        json.dumps({"name": "Spare phone"}),
        content_type="application/json",
        HTTP_HOST=organisation.instance_host,
        **headers,
    )
    assert answer.status_code == 200, answer.content
    with in_schema(organisation):
        return ApiToken.objects.get(pk=answer.json()["record"]["id"])


@pytest.mark.parametrize("days", [1, 90, None], ids=str)
def test_it_ends_with_the_token_that_made_it(days: int | None) -> None:
    organisation = make_organisation()
    ends = None if days is None else timezone.now() + timedelta(days=days)
    _, secret = tokens.issue(
        organisation, user=owner_of(organisation), name="program", scopes=["settings:write"],
        expires_at=ends, actor=Actor.system("test"),
    )  # fmt: skip
    phone = mint(organisation, Client(), HTTP_X_API_TOKEN=secret)
    assert phone.expires_at == ends
    record = tokens.public_record(phone)
    assert (record["expiresAt"] is None) == (ends is None)


def test_a_signed_in_person_pairs_for_good() -> None:
    organisation, client = make_organisation(), Client()
    sign_in(client, owner_of(organisation), organisation)
    assert mint(organisation, client).expires_at is None
