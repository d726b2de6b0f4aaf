"""Asks the organisation's audit API, and fills its trail."""

from __future__ import annotations

from typing import Any

from django.test import Client

from audit import trail
from audit.actors import Actor
from audit.models import Event
from tenants.models import Organisation
from tests.factories import make_token

PERSON = Actor("person", "0c2f0a9e-2d0b-4c64-8d0e-0b8f1c3d5a77", "ann@example.test")


class Asking:
    """A client with a token of the organisation's owner (or another one)."""

    def __init__(self, organisation: Organisation, secret: str = "") -> None:
        self.organisation = organisation
        self.secret = secret or make_token(organisation)
        self.client = Client()

    def get(self, path: str = "", /, **query: Any) -> Any:
        return self.client.get(
            f"/api/audit{path}",
            query,
            HTTP_HOST=self.organisation.instance_host,
            HTTP_X_API_TOKEN=self.secret,
        )

    def found(self, **query: Any) -> list[str]:
        """The subjects of the events that are found, newest first."""
        answer = self.get(**query)
        assert answer.status_code == 200, answer.content
        return [event["subject"] for event in answer.json()["events"]]


def write(organisation: Organisation, subject: str = "thing", **fields: Any) -> Event:
    fields.setdefault("action", "thing_done")
    fields.setdefault("actor", PERSON)
    return trail.record(organisation=organisation.pk, subject=subject, **fields)
