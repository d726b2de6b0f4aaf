"""Staff in tests: signed-in clients, and organisations in every state to look at."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing import leases
from relay.models import RelayStatus
from tenants.accounts.sessions import HOST_KEY
from tenants.models import Organisation, ReadinessRecord, User
from tests.factories import make_organisation, make_user

HOST = "localhost"
HOSTILE = '<script>alert("x")</script><b title=\'"'


def signed_in(user: User) -> Client:
    """A browser of `user` on the base domain."""
    client = Client(headers={"host": HOST})
    client.force_login(user)
    session = client.session
    session[HOST_KEY] = HOST
    session.save()
    return client


def superuser() -> User:
    return make_user(is_staff=True, is_superuser=True)


def staff_with(*permissions: str) -> User:
    """Staff with these permissions only, such as `view_organisation`."""
    user = make_user(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def connected(state: str = "active", **fields: Any) -> Organisation:
    """An organisation whose runtime says that it is connected to the relay."""
    organisation = make_organisation(state, **fields)
    now = timezone.now()
    RelayStatus.objects.update_or_create(
        organisation=organisation,
        defaults={
            "connected": True,
            "connected_at": now - timedelta(hours=2),
            "credential": "lease",
            "credential_expires_at": now + timedelta(hours=22),
            "active_channels": 2,
            "seen_at": now,
        },
    )
    if state == "active":
        leases.issue(organisation, issued_for="runtime")
    return organisation


def proof(*, passed: bool = True, **fields: Any) -> ReadinessRecord:
    steps = [
        {"name": "signup", "shows": "invited and signed up", "status": "passed", "seconds": 0.21,
         "evidence": {"label": "canary-1a2b3c"}, "error": ""},
        {"name": "connected", "shows": "relay connected with no settings call",
         "status": "passed" if passed else "failed", "seconds": 0.4,
         "evidence": {"instance_id": "relay_2e1b0929e6fd7c52"} if passed else {},
         "error": "" if passed else "not connected within 10 s"},
        {"name": "paired", "shows": "phone paired with the QR alone",
         "status": "passed" if passed else "not run", "seconds": 0.3 if passed else 0.0,
         "evidence": {}, "error": ""},
    ]  # fmt: skip
    defaults: dict[str, Any] = {
        "passed": passed,
        "started_at": timezone.now() - timedelta(minutes=3),
        "seconds": 3.4,
        "steps": steps,
        "blocking": [] if passed else ["relay connected: not connected within 10 s"],
        "version": "0.1.0",
    }
    return ReadinessRecord.objects.create(**(defaults | fields))


def changelist(model: str) -> str:
    return reverse(f"admin:{model}_changelist")
