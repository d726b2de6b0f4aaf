"""Small verbs that a walk through the rooms found to leave no row."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from audit.models import Event
from billing import keys
from billing.models import SigningKey
from rbac import authentication
from tests.accounts.browsing import Visitor
from tests.accounts.test_hand_off import hand_off, minted
from tests.factories import make_organisation, owner_of, sign_in

pytestmark = pytest.mark.django_db


def test_a_trial_begins_once() -> None:
    organisation = make_organisation()
    event = Event.objects.get(action="trial_started", organisation=organisation.pk)
    assert event.after is not None and event.after["plan"] == "cloud_trial"


def test_a_forgotten_signing_key() -> None:
    key = keys.ensure()
    SigningKey.objects.filter(pk=key.pk).update(
        active=False, retires_at=timezone.now() - timedelta(seconds=1)
    )
    assert keys.forget_retired() == 1
    assert Event.objects.filter(
        action="signing_key_forgotten", subject=f"signing key {key.kid}"
    ).exists()
    assert keys.forget_retired() == 0


def test_a_request_from_another_site_is_noted_but_not_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(authentication, "CSRF_NOTED", 3)
    organisation = make_organisation()
    client = Client(enforce_csrf_checks=True)
    sign_in(client, owner_of(organisation), organisation)
    for _ in range(5):
        answer = client.post(
            "/api/security/tokens/relay-mobile",
            HTTP_HOST=organisation.instance_host,
            content_type="application/json",
        )
        assert (answer.status_code, answer.json()["error"]) == (403, "csrf_failure")
    events = Event.objects.filter(action="csrf_failure", organisation=organisation.pk)
    assert events.count() == 3
    assert {event.path for event in events} == {"/api/security/tokens/relay-mobile"}
    assert not any(event.success for event in events)


def test_entering_an_organisation_is_in_its_own_trail() -> None:
    organisation = make_organisation()
    owner = owner_of(organisation)
    visitor = Visitor().sign_in(owner)
    answer = hand_off(visitor, organisation, minted(visitor, organisation))
    assert answer.status_code == 303
    event = Event.objects.get(action="org_entered", organisation=organisation.pk)
    assert (event.actor_kind, event.actor_id) == ("person", str(owner.pk))
    assert event.path == "/hand-off"
    hand_off(visitor, organisation, "x" * 43)  # no such token: nobody enters
    assert Event.objects.filter(action="org_entered", organisation=organisation.pk).count() == 1
