"""Notifications reach other connections when the transaction commits, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from audit.actors import Actor
from rbac import tokens
from tenants.models import State
from tenants.notify import RELAY, RUNTIME, notify
from tenants.provisioning_steps import ActivateStep
from tests.factories import make_organisation, owner_of, unique


@pytest.fixture
def listener(live_db: None) -> Iterator[psycopg.Connection[Any]]:
    options = connection.get_connection_params()
    wanted = {key: options[key] for key in ("dbname", "user", "password", "host")}
    with psycopg.connect(**wanted, autocommit=True) as connected:
        connected.execute(f"LISTEN {RUNTIME}")
        connected.execute(f"LISTEN {RELAY}")
        yield connected


def heard(listener: psycopg.Connection[Any], seconds: float = 5) -> list[tuple[str, str]]:
    return [(n.channel, n.payload) for n in listener.notifies(timeout=seconds, stop_after=1)]


def test_arrives_on_commit_and_not_before(listener: psycopg.Connection[Any]) -> None:
    with transaction.atomic():
        notify(RELAY, "relay_0123456789abcdef")
        assert heard(listener, 0.2) == []
    assert heard(listener) == [(RELAY, "relay_0123456789abcdef")]


def test_is_never_sent_by_a_transaction_that_failed(listener: psycopg.Connection[Any]) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        notify(RELAY, unique("gone"))
        _ = 1 / 0
    notify(RUNTIME)
    assert heard(listener) == [(RUNTIME, "")]


def test_the_runtime_hears_of_a_revoked_token(listener: psycopg.Connection[Any]) -> None:
    organisation = make_organisation()
    token, _ = tokens.issue(
        organisation, user=owner_of(organisation), name="x", scopes=[], actor=Actor.system("test")
    )
    while heard(listener, 0.1):
        pass  # what provisioning said
    tokens.revoke(organisation, token.pk, actor=Actor.system("test"))
    assert heard(listener) == [(RUNTIME, str(organisation.pk))]


def test_the_runtime_hears_of_an_organisation_that_goes_live(
    listener: psycopg.Connection[Any],
) -> None:
    organisation = make_organisation(State.PROVISIONING)
    ActivateStep().do(organisation)
    assert heard(listener) == [(RUNTIME, str(organisation.pk))]
