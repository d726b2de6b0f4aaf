"""/o/<label>/export: the owner's only, with a recent sign-in, open while the organisation is shut."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from audit.models import Event
from tenants.backups import export_views
from tenants.models import Organisation, State, User
from tests.accounts.browsing import Visitor
from tests.factories import add_member, make_organisation, make_user, owner_of

pytestmark = pytest.mark.django_db


def path(organisation: Organisation) -> str:
    return f"/o/{organisation.label}/export"


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


@pytest.mark.parametrize("state", [State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION])
def test_works(state: str) -> None:
    organisation = make_organisation(state)
    visitor = Visitor().sign_in(owner_of(organisation))
    assert f'href="{path(organisation)}"' in visitor.get("/").content.decode()
    page = visitor.get(path(organisation))
    assert page.status_code == 200 and "What is in it" in page.content.decode()
    answer = visitor.post(path(organisation), {"format": "json"})
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith(f'attachment; filename="{organisation.label}-')
    assert answer["Cache-Control"] == "no-store"
    assert json.loads(body(answer))["organisation"]["label"] == organisation.label
    answer = visitor.post(path(organisation), {"format": "sql"})
    assert b"CREATE SCHEMA" in body(answer)
    event = Event.objects.filter(organisation=organisation.pk, action="org_exported").first()
    assert event is not None and event.actor_kind == "person"


def test_is_nobody_elses() -> None:
    organisation = make_organisation()
    stranger, admin, staff = (
        make_user(),
        add_member(organisation, "admin"),
        make_user(is_staff=True),
    )
    others: list[User] = [stranger, admin, staff, owner_of(make_organisation())]
    for user in others:
        visitor = Visitor().sign_in(user)
        assert visitor.get(path(organisation)).status_code == 404
        assert visitor.post(path(organisation), {"format": "json"}).status_code == 404
    answer = Client().get(path(organisation), headers={"host": "localhost"})
    assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/accounts/login/")


def test_asks_for_a_recent_sign_in() -> None:
    organisation = make_organisation()
    visitor = Visitor().sign_in(owner_of(organisation))
    session = visitor.at("localhost").session
    session["_signed_in_at"] = 0
    session.save()
    answer = visitor.post(path(organisation), {"format": "json"})
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/reauthenticate/?next=")


def test_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = make_organisation()
    visitor = Visitor().sign_in(owner_of(organisation))
    assert visitor.post(path(organisation), {"format": "xml"}).status_code == 400
    monkeypatch.setattr(export_views, "PER_HOUR", 1)
    assert visitor.post(path(organisation), {"format": "json"}).status_code == 200
    answer = visitor.post(path(organisation), {"format": "json"})
    assert answer.status_code == 429 and "Try again later" in answer.content.decode()


def test_one_without_data_leads_back(settings: Any) -> None:
    organisation = make_organisation(State.FAILED)
    visitor = Visitor().sign_in(owner_of(organisation))
    assert visitor.post(path(organisation), {"format": "json"}).status_code == 303
    settings.HOSTED_MODE = False
    assert visitor.get(path(organisation)).status_code == 404


def test_what_a_killed_export_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    abandoned, at_work, other = (
        tmp_path / name
        for name in ("pulsecloud-export-old", "pulsecloud-export-new", "somebody-elses")
    )
    for folder in (abandoned, at_work, other):
        folder.mkdir()
        (folder / "data.json").write_text("{}")
    for folder in (abandoned, other):
        os.utime(folder, (0, 0))
    export_views.forget_abandoned()
    assert not abandoned.exists() and at_work.exists() and other.exists()
