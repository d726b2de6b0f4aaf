"""Staff back up and put back from the admin, and are shown what would change before it does."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit.models import Event
from rbac.models import Role
from tenants.accounts import recent
from tenants.models import Backup, BackupKind
from tenants.schemas import in_schema
from tests.admin import staff
from tests.backups.filling import back_up, destroy_schema, file_of, filled

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    return fresh(staff.signed_in(staff.superuser()))


def fresh(client: Client) -> Client:
    session = client.session
    session[recent._KEY] = time.time()
    session.save()
    return client


def ask(backup: Backup) -> str:
    return reverse("admin:tenants_backup_put_back", args=[backup.pk])


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", answer.content.decode())


def test_backs_up(browser: Client) -> None:
    organisation = filled()
    path = reverse("admin:tenants_organisation_back_up", args=[organisation.pk])
    page = text_of(browser.get(path))
    assert "read back before it counts" in page
    assert "until the date in the deletion&#x27;s receipt" in page
    assert not organisation.backups.exists()
    browser.post(path, {"confirmed": "yes", "reason": "before we touch it"})
    assert organisation.backups.get().kind == BackupKind.MANUAL
    event = Event.objects.get(organisation=organisation.pk, action="org_backed_up")
    assert (event.actor_kind, event.reason) == ("staff", "before we touch it")


def test_shows_what_would_change_and_then_puts_it_back(browser: Client) -> None:
    organisation = filled()
    backup = back_up(organisation)
    with in_schema(organisation):
        Role.objects.filter(pk="night-shift").delete()
    page = text_of(browser.get(ask(backup)))
    assert f"Put back: {organisation}, manual of {backup.made_at:%Y-%m-%d}" in page
    assert "Rights: role night-shift: nothing → allow read nodes, deny admin *." in page
    assert "Rows of rbac_role: 4 now, 5 then." in page
    with in_schema(organisation):
        assert not Role.objects.filter(pk="night-shift").exists()
    answer = browser.post(ask(backup), {"confirmed": "yes", "reason": ""})
    assert answer.status_code == 200  # asks for the reason
    answer = browser.post(
        ask(backup), {"confirmed": "yes", "reason": "a role was lost"}, follow=True
    )
    assert "Put back" in text_of(answer)
    organisation.refresh_from_db()
    with in_schema(organisation):
        assert Role.objects.filter(pk="night-shift").exists()
    event = Event.objects.get(organisation=organisation.pk, action="org_data_restored")
    assert (event.actor_kind, event.reason) == ("staff", "a role was lost")


def test_says_when_there_is_nothing_to_keep(browser: Client) -> None:
    organisation = filled()
    backup = back_up(organisation)
    assert "this cannot be undone" not in text_of(browser.get(ask(backup)))
    destroy_schema(organisation)
    assert "Its tables are gone" in text_of(browser.get(ask(backup)))


def test_says_when_the_file_is_of_no_use(browser: Client) -> None:
    backup = back_up(filled())
    file_of(backup).write_bytes(b"junk")
    assert "It would be refused now: The file is no backup" in text_of(browser.get(ask(backup)))
    answer = browser.post(ask(backup), {"confirmed": "yes", "reason": "try"}, follow=True)
    assert "The file is no backup" in text_of(answer)


def test_asks_for_a_recent_sign_in_and_for_the_permission() -> None:
    backup = back_up(filled())
    client = staff.signed_in(staff.superuser())
    session = client.session
    session[recent._KEY] = 0
    session.save()
    answer = client.post(ask(backup), {"confirmed": "yes", "reason": "x"})
    assert answer.status_code == 302 and "/reauthenticate/" in answer["Location"]
    looking = fresh(staff.signed_in(staff.staff_with("view_backup", "view_organisation")))
    assert looking.get(ask(backup)).status_code == 403
    page = looking.get(reverse("admin:tenants_backup_change", args=[backup.pk]))
    assert page.status_code == 200
    assert "public/tenants.membership" in text_of(page)
    assert ask(backup) not in text_of(page)


def test_lists_answer_the_questions(browser: Client) -> None:
    good = back_up(filled())
    Backup.objects.create(
        organisation=good.organisation, kind="daily", state="failed", error="no space left",
        expires_at=good.expires_at,
    )  # fmt: skip
    path = reverse("admin:tenants_backup_changelist")
    failed, usable = (text_of(browser.get(path, {"good": which})) for which in ("failed", "yes"))
    assert "no space left" in failed and "no space left" not in usable
    assert good.organisation.label in failed and good.organisation.label in usable
