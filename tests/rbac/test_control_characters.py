"""What no database can hold is refused where a role is written, in its form and over the API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import make_organisation
from tests.rbac.people import Caller, make_role

pytestmark = pytest.mark.django_db
ODD = ("no\x00rth", "no\x1brth", "no\x7frth", "no\x85rth", "no\nrth")


@pytest.fixture
def owner() -> Caller:
    return Caller(make_organisation())


def posts(owner: Caller, path: str, **fields: Any) -> Any:
    return owner.client.post(path, fields, HTTP_HOST=owner.organisation.instance_host)


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_in_the_editor(owner: Caller, text: str) -> None:
    row = {"effect": "allow", "action": "read", "resource": "nodes", "conditions": f"site={text}"}
    answer = posts(owner, "/roles/+new", id="night", name="Nights", **row)
    assert answer.status_code == 400
    assert "A condition holds control characters." in answer.content.decode()
    make_role(owner.organisation, "day")
    answer = posts(owner, "/roles/day/edit", name="Day", **row)
    assert answer.status_code == 400
    assert "A condition holds control characters." in answer.content.decode()


@pytest.mark.parametrize("text", [*ODD, "\ud800"], ids=ascii)
def test_over_the_api(owner: Caller, text: str) -> None:
    permission = {"action": "read", "resource": "nodes", "conditions": {"site": text}}
    sent = {"id": "night", "permissions": [permission]}
    owner.refused(400, "invalid_request", "POST", "/api/admin/roles", sent)


@pytest.mark.parametrize("field", ["id", "name", "description", "parent", "resource", "action"])
def test_in_no_other_field_of_the_editor(owner: Caller, field: str) -> None:
    """A line of text loses them; what must be a name is refused."""
    form = {
        "id": "night", "name": "Nights", "description": "d", "parent": "viewer",
        "effect": "allow", "action": "read", "resource": "nodes", "conditions": "",
    }  # fmt: skip
    form[field] += "\x00"
    expected = 303 if field in ("name", "description") else 400
    assert posts(owner, "/roles/+new", **form).status_code == expected


def test_other_signs_are_text(owner: Caller) -> None:
    row = {"effect": "allow", "action": "read", "resource": "nodes", "conditions": "site=Zürich ☃"}
    assert posts(owner, "/roles/+new", id="night", name="Nights", **row).status_code == 303
    shown = owner.gets("/api/admin/roles/night")["permissions"][0]
    assert shown["conditions"] == {"site": "Zürich ☃"}
