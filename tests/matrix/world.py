"""Who asks in the permission matrix, and what they ask for.

Two organisations, `acme` and a suspended one, and everybody who may knock: the columns. Each cell of
the table runs in a transaction that is undone, so every one of them finds the world as it was made.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Permission
from django.db import transaction
from django.utils import timezone

from rbac import cache, mobile
from relay.models import RelayStatus
from tenants.models import MemberRole, Organisation, State
from tests.factories import (
    add_member,
    make_organisation,
    make_token,
    make_user,
    owner_of,
)
from tests.matrix.things import Asker, Things

COLUMNS = (
    "anonymous",
    "outsider",  # signed in, member of nothing
    "stranger",  # owner of another organisation
    "viewer",
    "editor",
    "admin",
    "owner",
    "suspended",  # owner of a suspended organisation, at that organisation
    "phone",  # the owner's mobile token
    "token",  # the owner's token with settings:read
    "staff",  # may see and change organisations in the staff admin; member of nothing
    "superuser",
)
_addresses = itertools.count(1)


@dataclass
class World:
    acme: Organisation
    frozen: Organisation
    askers: dict[str, Asker]

    def ask(self, kind: str, method: str, path: str, body: str) -> Iterator[tuple[str, Any]]:
        """(column, answer) of everybody; what one of them changed is undone before the next."""
        known = Things()
        with undone():
            for column, asker in self.askers.items():
                address, data = known.filled(path, asker), known.filled(body, asker)
                with undone():
                    answer = send(asker, kind, method, address, data)
                    if answer.streaming:  # as every server reads it: to its end
                        b"".join(answer.streaming_content)
                yield column, answer


def send(asker: Asker, kind: str, method: str, path: str, data: str) -> Any:
    number = next(_addresses)
    extra: dict[str, Any] = {
        "HTTP_HOST": asker.host(kind),
        # Limits per address are not what this is about.
        "REMOTE_ADDR": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
    }
    if asker.secret:
        extra["HTTP_X_API_TOKEN"] = asker.secret
    call: Callable[..., Any] = getattr(asker.at(kind), method.lower())
    if method == "GET":
        return call(path, **extra)
    if path.startswith("/api/"):
        return call(path, data, content_type="application/json", **extra)
    return call(path, json.loads(data or "{}"), **extra)


@contextmanager
def undone() -> Iterator[None]:
    """Whatever is written inside is rolled back. A version that is rolled back comes again with
    another meaning, so nothing that was kept under it may stay."""
    try:
        with transaction.atomic():
            yield
            transaction.set_rollback(True)
    finally:
        with cache._lock:
            cache._entries.clear()


def make() -> World:
    acme = make_organisation(display_name="Acme")
    frozen = make_organisation(display_name="Frozen")
    now = timezone.now()
    RelayStatus.objects.update_or_create(
        organisation=acme,
        defaults={"connected": True, "connected_at": now, "credential": "lease", "seen_at": now},
    )
    phone, token = make_token(acme, mobile.SCOPE), make_token(acme, "settings:read")
    elsewhere = owner_of(make_organisation(display_name="Elsewhere"))
    staff = make_user(is_staff=True)
    staff.user_permissions.set(
        Permission.objects.filter(
            codename__in=("view_organisation", "change_organisation", "view_user")
        )
    )
    owner, frozen_owner = owner_of(acme), owner_of(frozen)
    askers = {
        "anonymous": Asker(acme),
        "outsider": Asker(acme, make_user()),
        "stranger": Asker(acme, elsewhere),
        "viewer": Asker(acme, add_member(acme, MemberRole.VIEWER)),
        "editor": Asker(acme, add_member(acme, MemberRole.EDITOR)),
        "admin": Asker(acme, add_member(acme, MemberRole.ADMIN)),
        "owner": Asker(acme, owner),
        "suspended": Asker(frozen, frozen_owner),
        "phone": Asker(acme, owner, phone),
        "token": Asker(acme, owner, token),
        "staff": Asker(acme, staff),
        "superuser": Asker(acme, make_user(is_staff=True, is_superuser=True)),
    }
    world = World(acme, frozen, askers)
    for asker in askers.values():  # before the suspension: it ends that host's sessions
        asker.sign_in()
    Organisation.objects.filter(pk=frozen.pk).update(
        state=State.SUSPENDED, suspended_by="owner", suspended_at=timezone.now() - timedelta(days=1)
    )
    frozen.refresh_from_db()
    return world
