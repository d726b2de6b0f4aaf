"""The trail is append-only and holds no secrets."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from audit import trail
from audit.actors import Actor
from audit.models import Event
from tests.factories import make_organisation, make_user

pytestmark = pytest.mark.django_db


def write(**fields: Any) -> Event:
    return trail.record(action="tested", actor=Actor.system("test"), **fields)


def test_works() -> None:
    person, organisation = make_user(), uuid.uuid4()
    event = trail.record(
        action="org_suspended",
        actor=Actor.person(person),
        organisation=organisation,
        subject="demo",
        reason="unpaid",
        before={"state": "active"},
        after={"state": "suspended"},
        request_id="r1",
        address="192.0.2.7",
    )
    event.refresh_from_db()
    assert (event.actor_kind, event.actor_id) == ("person", str(person.pk))
    assert event.actor_label == person.email
    assert event.organisation == organisation
    assert (event.before, event.after) == ({"state": "active"}, {"state": "suspended"})
    assert event.address == "192.0.2.7"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET reason = 'rewritten'",
        "UPDATE audit_event SET reason = '' WHERE false",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "TRUNCATE audit_event CASCADE",
    ],
)
def test_the_database_refuses_every_rewrite(statement: str) -> None:
    event = write(reason="first")
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    event.refresh_from_db()
    assert event.reason == "first"


def test_the_models_cannot_rewrite_either() -> None:
    event = write()
    event.reason = "rewritten"
    for rewrite in (event.save, event.delete, Event.objects.all().delete):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            rewrite()


def test_is_rolled_back_with_what_it_tells_of() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        write(subject="never happened")
        _ = 1 / 0
    assert not Event.objects.filter(subject="never happened").exists()


def test_outlives_the_organisation() -> None:
    organisation = make_organisation("requested")
    key = organisation.pk
    write(organisation=key, subject="kept")
    organisation.delete()
    assert Event.objects.filter(organisation=key, subject="kept").exists()


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "new_password",
        "token",
        "auth_token",
        "instance_secret",
        "privateKey",
        "private_key",
        "api_key",
        "apiKey",
        "Authorization",
        "Cookie",
        "credential",
        "sealed_identity_key",
        "licence",
        "lease",
        "signature",
    ],
)
def test_secrets_are_redacted_at_any_depth(key: str) -> None:
    value = {"list": [{"deep": {key: "s3cr3t"}}], key: ["s3cr3t"]}
    event = write(before=value, after={key: b"s3cr3t"})
    assert "s3cr3t" not in str(Event.objects.filter(pk=event.pk).values().get())
    assert event.before is not None
    assert event.before["list"][0]["deep"][key] == trail.REDACTED


@pytest.mark.parametrize(
    "key", ["token_id", "token_name", "password_changed_at", "state", "licence_id", "public_key"]
)
def test_what_only_names_a_secret_is_kept(key: str) -> None:
    assert write(after={key: "kept"}).after == {key: "kept"}


def test_an_empty_secret_shows_that_it_is_empty() -> None:
    assert write(after={"licence": "", "token": None}).after == {"licence": "", "token": None}


def test_values_that_json_lacks_become_text() -> None:
    moment, some_id = datetime(2026, 1, 2, tzinfo=UTC), uuid.uuid4()
    event = write(
        after={"at": moment, "id": some_id, "set": {1}, "raw": b"x", "nul": "a\x00b", "n": None}
    )
    event.refresh_from_db()
    assert event.after == {
        "at": "2026-01-02 00:00:00+00:00",
        "id": str(some_id),
        "set": [1],
        "raw": trail.REDACTED,
        "nul": "ab",
        "n": None,
    }


def test_long_texts_are_cut_and_not_refused() -> None:
    event = trail.record(
        action="tested",
        actor=Actor("person", "i" * 500, "l" * 500),
        subject="s" * 500,
        request_id="r" * 500,
        reason="a reason of any length " * 100,
    )
    event.refresh_from_db()
    assert len(event.subject) == 200


def test_actors() -> None:
    person = make_user()
    assert Actor.staff(person).kind == "staff"
    assert Actor.system("sweep") == Actor("system", "sweep", "sweep")
    assert Actor.anonymous() == Actor("anonymous")
