"""Every door × {active, suspended, pending deletion, unreadable}: what opens, and what it answers.

A door is a way to act in or for an organisation. The state "unreadable" is the table of
organisations locked away: whoever cannot know must refuse (H9). Live sockets have their own file,
test_sockets.py; doors that stay open to a suspended organisation's people, test_exceptions.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections

from billing import leases
from relay.runtime import phone_tokens, roster
from tenants.models import Link, LinkPurpose, Membership, Organisation, State
from tests.doors.place import BASE, Place

REFRESH = "/api/entitlements/refresh"
FORM = {"name": "x", "scopes": ["settings:read"], "expires": "7"}


@dataclass(frozen=True)
class Door:
    """`knock` tries it and says what came of it: "open", or status and code. `shut` is what a
    suspended organisation answers, `unreadable` what an unknown state does."""

    name: str
    knock: Callable[[Place], str]
    shut: str
    unreadable: str = "503"
    open: str = "open"
    routes: tuple[str, ...] = ()


def told(answer: Any, *, opens: bool | None = None) -> str:
    """`open`, or such as `403 org_suspended`; 503 only counts with a time to come back."""
    if opens if opens is not None else answer.status_code in (200, 201, 204):
        return "open"
    if answer.status_code == 503:
        assert answer["Retry-After"], answer.content
        return "503"
    text = answer.content.decode()
    codes = ("org_suspended", "org_not_active", "invitation_not_found", "is suspended")
    code = next((code for code in codes if code in text), "")
    code = code.replace("is suspended", "org_suspended")  # what a page says
    return f"{answer.status_code} {code}".strip()


def hand_off_made(place: Place) -> str:
    """POST /o/<label>/: opens when it mints a token."""
    before = Link.objects.filter(purpose=LinkPurpose.HAND_OFF).count()
    answer = place.base("POST", f"/o/{place.organisation.label}/", {"form": {}})
    minted = Link.objects.filter(purpose=LinkPurpose.HAND_OFF).count() - before
    return told(answer, opens=bool(minted))


def hand_off_used(place: Place) -> str:
    """POST /hand-off with a token from before: opens when it makes a session."""
    from tests.accounts.browsing import Visitor

    visitor = Visitor()
    client = visitor.at(place.host)
    client.raise_request_exception = False
    answer = client.post(
        "/hand-off",
        {"token": place.hand_off},
        headers={"host": place.host, "origin": "http://localhost:8000"},
    )
    if answer.status_code == 503:
        return told(answer)
    return told(answer, opens=visitor.is_signed_in(place.host))


def magic_link(place: Place) -> str:
    """POST by a program; a browser's lands on the base domain, see the exceptions."""
    return told(place.stranger(BASE, "POST", place.magic_path, accept="application/json"))


def sso_start(place: Place) -> str:
    return told(place.stranger(place.host, "GET", "/sso/"))


def sso_login(place: Place) -> str:
    """Active, it goes on and finds no provider process here, which is past the door."""
    return past(place.stranger(place.host, "POST", "/sso/work/login", {"form": {}}))


def sso_callback(place: Place) -> str:
    return past(place.stranger(place.host, "GET", "/sso/work/callback?state=x&code=y"))


def past(answer: Any) -> str:
    """For doors behind which the next thing fails here: open unless the door itself refused."""
    said = told(answer)
    return said if said.startswith("503") or "org_" in said else "open"


def joined(place: Place) -> bool:
    return Membership.objects.filter(
        organisation__label=place.organisation.label, user=place.invited
    ).exists()


def join_by_link(place: Place) -> str:
    answer = place.stranger(BASE, "POST", place.join_path, {"form": {}})
    return told(answer, opens=answer.status_code == 303)


def join_by_page(place: Place) -> str:
    path = f"/invitations/{place.invitation.pk}/accept"
    answer = place.of(place.invited, "POST", path, {"form": {}})
    if answer.status_code == 503:
        return told(answer)
    return "open" if joined(place) else "refused"


def join_by_api(place: Place) -> str:
    path = f"/api/org-invitations/{place.organisation.pk}/accept"
    return told(place.of(place.invited, "POST", path))


def refreshed(place: Place) -> str:
    body = {
        "org_id": "default",
        "instance_host": place.host,
        "entitlement_refresh_token": place.refresh,
    }
    return told(place.stranger(BASE, "POST", REFRESH, body))


def leased(place: Place) -> str:
    try:
        leases.issue(place.organisation, issued_for="runtime")
    except leases.LeaseRefused as refused:
        return refused.code
    except DatabaseError:
        return "error"
    return "open"


def served(place: Place) -> str:
    """Whether the built-in runtime connects it."""
    try:
        return "open" if roster.served(place.organisation.pk) else "not served"
    except DatabaseError:
        return "error"


def phone_admitted(place: Place) -> str:
    """What the runtime says when a phone asks for a channel; "not known" never unpairs it."""
    try:
        return "open" if phone_tokens._opens(place.organisation.pk, place.phone) else "refused"
    except phone_tokens._NotServed:
        return "not known"
    except DatabaseError:
        return "not known"


DOORS = (
    Door("session page", lambda p: told(p.session("GET", "/")), "403 org_suspended"),
    Door(
        "session page that writes",
        lambda p: told(p.session("POST", "/tokens", {"form": FORM})),
        "403 org_suspended",
    ),
    Door(
        "session API",
        lambda p: told(p.session("GET", "/api/organisation")),
        "403 org_suspended",
    ),
    Door(
        "session API that writes",
        lambda p: told(p.session("POST", "/api/security/tokens/relay-mobile", {})),
        "403 org_suspended",
    ),
    Door(
        "API token",
        lambda p: told(p.program(p.token, "GET", "/api/settings/relay")),
        "403 org_suspended",
    ),
    Door(
        "mobile token",
        lambda p: told(p.program(p.phone, "GET", "/api/organisation")),
        "403 org_suspended",
    ),
    Door(
        "hand-off page",
        lambda p: told(p.base("GET", f"/o/{p.organisation.label}/")),
        "403 org_suspended",
        routes=("o/<str:label>/",),
    ),
    Door("hand-off made", hand_off_made, "403 org_suspended", routes=("o/<str:label>/",)),
    Door("hand-off used", hand_off_used, "303", routes=("hand-off",)),
    Door(
        "magic link",
        magic_link,
        "403 org_suspended",
        routes=("api/public/magic-link/verify",),
    ),
    Door("SSO start", sso_start, "403 org_suspended", routes=("sso/",)),
    Door("SSO login", sso_login, "403 org_suspended", routes=("sso/<str:slug>/login",)),
    Door("SSO callback", sso_callback, "403 org_suspended", routes=("sso/<str:slug>/callback",)),
    Door("invitation by link", join_by_link, "404", routes=("join/<str:token>",)),
    Door(
        "invitation by page",
        join_by_page,
        "refused",
        routes=("invitations/<uuid:invitation_id>/accept",),
    ),
    Door(
        "invitation by API",
        join_by_api,
        "404 invitation_not_found",
        routes=("api/org-invitations/<str:organisation_id>/accept",),
    ),
    Door("entitlement refresh", refreshed, "503", routes=("api/entitlements/refresh",)),
    Door("lease", leased, "not_active", unreadable="error"),
    Door("runtime connection", served, "not served", unreadable="error"),
    Door("phone's channel", phone_admitted, "not known", unreadable="not known"),
)
IDS = [door.name for door in DOORS]
EXTERNAL = ("entitlement refresh",)


@pytest.fixture
def quiet(settings: Any) -> None:
    settings.PUBLIC_URL = "http://localhost:8000"
    settings.RELAY_PUBLIC_URL = "ws://127.0.0.1:8001"


def prepared(door: Door) -> Place:
    place = Place()
    if door.name in EXTERNAL:
        place.go_external()
    return place


@pytest.mark.django_db
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("door", DOORS, ids=IDS)
def test_active(door: Door) -> None:
    """Else the table would pass with doors that never open."""
    assert door.knock(prepared(door)) == door.open


@pytest.mark.django_db
@pytest.mark.usefixtures("quiet")
@pytest.mark.covers("H4", "F33")
@pytest.mark.parametrize("state", [State.SUSPENDED, State.PENDING_DELETION])
@pytest.mark.parametrize("door", DOORS, ids=IDS)
def test_shut(door: Door, state: str) -> None:
    place = prepared(door)
    place.shut(state)
    assert door.knock(place) == door.shut


@pytest.fixture
def impatient(live_db: None) -> Iterator[None]:
    """Queries of the web side give up soon."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '150ms'")
    yield
    connections.close_all()


@contextmanager
def locked(table: str) -> Iterator[None]:
    holder = connection.copy()
    try:
        with holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f'LOCK TABLE public."{table}" IN ACCESS EXCLUSIVE MODE')
        yield
    finally:
        holder.close()


@pytest.mark.usefixtures("quiet", "impatient")
@pytest.mark.covers("H9")
@pytest.mark.parametrize("door", DOORS, ids=IDS)
def test_unreadable(door: Door) -> None:
    """Refused with 503 and a time to come back; nobody is told that a token is wrong."""
    place = prepared(door)
    with locked(Organisation._meta.db_table):
        assert door.knock(place) == door.unreadable
