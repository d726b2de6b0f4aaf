"""What these tests share: acting as somebody, and what was mailed."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.test import Client

from audit.actors import Actor
from rbac.models import Assignment
from tenants.models import MemberInvitation, Membership, Organisation, OutboxMail, User
from tenants.people import member_invitations
from tenants.schemas import in_schema
from tests.factories import make_user, owner_of, sign_in, unique


def roles(organisation: Organisation) -> dict[str, str]:
    """{address: membership role}."""
    members = Membership.objects.filter(organisation=organisation).select_related("user")
    return {str(each.user): each.role for each in members}


def role_of(organisation: Organisation, user: User) -> str | None:
    return roles(organisation).get(str(user))


def assigned(organisation: Organisation, user: User) -> set[str]:
    """The roles that are assigned inside."""
    with in_schema(organisation):
        return set(Assignment.objects.filter(user=user.pk).values_list("role_id", flat=True))


def invite(
    organisation: Organisation, email: str | None = None, role: str = "viewer"
) -> tuple[MemberInvitation, str]:
    """The invitation and the token of its mailed link."""
    owner = owner_of(organisation)
    email = email or f"{unique('guest')}@example.test"
    invitation = member_invitations.invite(
        organisation=organisation, email=email, role=role, actor=Actor.person(owner), by=owner
    )
    return invitation, mailed_token(email)


def mailed_token(email: str) -> str:
    """Of the newest invitation mail."""
    mail = OutboxMail.objects.filter(recipient__iexact=email).latest("pk")
    found = re.search(r"/join/(\S+)", mail.body)
    assert found, mail.body
    return found[1]


class Caller:
    """A signed-in person's browser on one host, talking JSON."""

    def __init__(self, user: User | None, organisation: Organisation | None = None) -> None:
        self.client = Client()
        self.host = organisation.instance_host if organisation else "localhost"
        if user is not None:
            sign_in(self.client, user, organisation)

    def __call__(self, method: str, path: str, body: Any = None, **headers: Any) -> Any:
        return self.client.generic(
            method,
            path,
            b"" if body is None else json.dumps(body),
            content_type="application/json",
            HTTP_HOST=self.host,
            **headers,
        )

    def was(self, minutes: float) -> Caller:
        """The sign-in was so long ago."""
        import time

        session = self.client.session
        session["_signed_in_at"] = time.time() - minutes * 60
        session.save()
        return self


def told(answer: Any) -> tuple[int, str]:
    """Status and code of a contract's error."""
    return answer.status_code, answer.json().get("code") or answer.json()["error"]


def race(*acts: Callable[[], object]) -> list[object]:
    """Runs them at the same moment, each on a connection of its own; what each returned or raised."""
    barrier, outcomes = threading.Barrier(len(acts)), [None] * len(acts)
    results: list[object] = list(outcomes)

    def run(index: int, act: Callable[[], object]) -> None:
        try:
            barrier.wait(10)
            results[index] = act()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


__all__ = ["Caller", "assigned", "invite", "make_user", "race", "role_of", "roles", "told"]
