"""Shared by the sign-up tests: asking over HTTP, and looking at what came of it."""

from __future__ import annotations

import json
import re
from typing import Any

from django.test import Client

from audit.actors import Actor
from tenants import invitations
from tenants.models import Link, Organisation, OutboxMail
from tests.factories import unique

HOST: dict[str, Any] = {"HTTP_HOST": "localhost"}
_addresses = iter(range(1, 2**24))


def address() -> str:
    """An address that no other test counts against."""
    n = next(_addresses)
    return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


def mailbox() -> str:
    return f"{unique('new')}@example.test"


def invitation(email: str = "", **options: Any) -> invitations.Invited:
    return invitations.invite(email=email, actor=Actor.system("test"), **options)


def ask(body: dict[str, Any] | bytes | str, *, client: Client | None = None, **environ: Any) -> Any:
    """POST /api/public/signup from an address of its own, unless REMOTE_ADDR is given."""
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    environ = {"REMOTE_ADDR": address(), **HOST, **environ}
    return (client or Client()).post(
        "/api/public/signup", data, content_type="application/json", **environ
    )


def wish(**changes: Any) -> dict[str, Any]:
    """A body that is fine except for the invitation that it lacks."""
    return {"email": mailbox(), "org_name": "Example Ltd", **changes}


def mails(to: str) -> list[OutboxMail]:
    return list(OutboxMail.objects.filter(recipient=to).order_by("pk"))


def link_in(mail: OutboxMail) -> str:
    """The path of the one link of ours in a mail."""
    found = re.search(r"http://localhost:\d+(/\S+)", mail.body)
    assert found, mail.body
    return found[1]


def counts() -> tuple[int, int, int]:
    """Organisations, mails and links: what a sign-up without effect leaves alone."""
    return Organisation.objects.count(), OutboxMail.objects.count(), Link.objects.count()
