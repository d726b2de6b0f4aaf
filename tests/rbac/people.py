"""People of an organisation who ask its API, and roles made for them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.test import Client

from audit.actors import Actor
from rbac import assignments, roles
from rbac.authorizer import Grant
from rbac.models import Assignment
from rbac.role_specs import RoleSpec
from tenants.models import Organisation, User
from tenants.schemas import in_schema
from tests.factories import add_member, owner_of, sign_in

PLATFORM = Actor.system("test")


class Caller:
    """A signed-in person on one organisation's host. Answers are Django's, with `.json()`."""

    def __init__(self, organisation: Organisation, user: User | None = None) -> None:
        self.organisation = organisation
        self.user = user or owner_of(organisation)
        self.client = Client()
        sign_in(self.client, self.user, organisation)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.generic(
            method,
            path,
            "" if body is None else body if isinstance(body, str) else json.dumps(body),
            content_type="application/json",
            HTTP_HOST=self.organisation.instance_host,
            **headers,  # type: ignore[arg-type]
        )

    def gets(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def refused(self, status: int, code: str, method: str, path: str, body: Any = None) -> None:
        answer = self.ask(method, path, body)
        assert (answer.status_code, _code(answer.json())) == (status, code), answer.content


def make_role(
    organisation: Organisation, role_id: str, *grants: Grant, parent: str | None = None
) -> dict[str, Any]:
    """A custom role, made by the platform, which no rule of escalation binds."""
    spec = RoleSpec(name=role_id, parent=parent, grants=grants)
    return roles.create(organisation, role_id, spec, actor=PLATFORM)


def member_with(organisation: Organisation, *role_ids: str) -> User:
    """A viewer who has exactly these roles instead."""
    user = add_member(organisation, "viewer")
    assignments.set_roles(organisation, user.pk, role_ids, actor=PLATFORM)
    return user


def held(organisation: Organisation, user_id: UUID) -> set[str]:
    with in_schema(organisation):
        return set(Assignment.objects.filter(user=user_id).values_list("role_id", flat=True))


def _code(body: dict[str, Any]) -> str:
    """The code of either envelope of the contract (hosted-contract section 1.2)."""
    return str(body.get("code") or body["error"])
