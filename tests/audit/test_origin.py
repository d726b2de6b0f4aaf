"""Rows that a request writes say where it came from: address, path and request id."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.test import Client, RequestFactory

from audit import origin, trail
from audit.actors import Actor
from audit.models import Event
from pulsecloud.origins import path_of
from tests.factories import make_organisation, make_token

pytestmark = pytest.mark.django_db


def write(**fields: Any) -> Event:
    event = trail.record(action="tested", actor=Actor.system("test"), **fields)
    event.refresh_from_db()
    return event


def test_a_request_leaves_its_address_path_and_id() -> None:
    organisation = make_organisation()
    answer = Client().post(
        "/api/security/tokens/relay-mobile",
        HTTP_HOST=organisation.instance_host,
        HTTP_X_API_TOKEN=make_token(organisation),
        REMOTE_ADDR="192.0.2.9",
        content_type="application/json",
    )
    assert answer.status_code == 200
    event = Event.objects.filter(action="token_issued").latest("id")
    assert event.address == "192.0.2.9"
    assert event.path == "/api/security/tokens/relay-mobile"
    assert event.request_id == answer["X-Request-Id"]


@pytest.mark.covers("F71")
def test_the_address_is_not_what_a_stranger_claims() -> None:
    organisation = make_organisation()
    Client().post(
        "/api/security/tokens/relay-mobile",
        HTTP_HOST=organisation.instance_host,
        HTTP_X_API_TOKEN=make_token(organisation),
        REMOTE_ADDR="192.0.2.9",
        HTTP_X_FORWARDED_FOR="203.0.113.1",
        content_type="application/json",
    )
    assert Event.objects.filter(action="token_issued").latest("id").address == "192.0.2.9"


def test_outside_of_requests_there_is_none() -> None:
    event = write()
    assert (event.address, event.path, event.request_id) == (None, "", "")


def test_what_the_verb_says_wins() -> None:
    with origin.during(address="192.0.2.1", path=lambda: "/here"):
        told = write(path="/there", address="192.0.2.2")
        left = write()
    assert (told.path, told.address) == ("/there", "192.0.2.2")
    assert (left.path, left.address) == ("/here", "192.0.2.1")
    assert write().path == ""


def test_other_threads_have_their_own() -> None:
    seen: list[str] = []
    with origin.during(address="192.0.2.1", path=lambda: "/here"):
        thread = threading.Thread(target=lambda: seen.append(origin.current().address))
        thread.start()
        thread.join()
    assert seen == [""]


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2001:db8::1", ""])
def test_any_peer_address_can_be_written(address: str) -> None:
    with origin.during(address=address, path=lambda: "/\ud800\x00x"):
        event = write()
    assert event.address == (address.partition("%")[0] or None)
    assert event.path == "/?x"


def test_links_in_mails_are_not_in_the_path() -> None:
    """The path of a single-use link is the link."""
    secret = "s3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr3tS3cr"
    for path in (f"/signup/verify/{secret}", f"/sign-in/{secret}", f"/invitations/{secret}"):
        assert secret not in path_of(RequestFactory().get(path))
    request = RequestFactory().get("/new/short")
    request.resolver_match = type("Match", (), {"kwargs": {"token": "short", "token_id": "new"}})()
    assert path_of(request) == "/new/[redacted]"
