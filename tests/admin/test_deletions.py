"""Staff see what is going to be deleted, what that takes, why it failed, and the receipts."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Event
from tenants import lifecycle
from tenants.deletion import claims, planning, reaper
from tenants.models import DeletionReceipt, Organisation, Removal, SuspendedBy
from tenants.states import TransitionRefused
from tests.admin.staff import HOSTILE, changelist
from tests.deletion.aging import ACTOR, asked, overdue, reap

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def backup_dir(settings: Any, tmp_path: Path) -> Path:
    settings.BACKUP_DIR = tmp_path
    return tmp_path


def text(answer: Any) -> str:
    return str(answer.content.decode())


def page_of(row: Any) -> str:
    return reverse(f"admin:tenants_{row._meta.model_name}_change", args=[row.pk])


def failed(backup_dir: Path, settings: Any, **fields: Any) -> Removal:
    """One whose final copy could not be written."""
    organisation = overdue(days=1, **fields)
    blocked = backup_dir / "no folder"
    blocked.write_text("")
    settings.BACKUP_DIR = blocked
    with pytest.raises(claims.ReapFailed):
        reap(organisation)
    settings.BACKUP_DIR = backup_dir
    return Removal.objects.get(organisation=organisation)


def test_the_blast_radius_is_counted_before_anything_goes(client: Client) -> None:
    organisation = asked(display_name=HOSTILE[:64])
    page = text(client.get(page_of(Removal.objects.get(organisation=organisation))))
    assert "What would go, counted now" in page
    assert "1 member let go, 0 accounts removed" in page
    assert "rbac_role" in page and "Nothing was removed yet" in page
    assert "Mail when it was asked for" in page
    assert HOSTILE[:64] not in page


def test_lists_answer_what_is_it_waiting_for(
    client: Client, backup_dir: Path, settings: Any
) -> None:
    rows = {
        "time": asked(),
        "due": overdue(days=1),
        "failed": failed(backup_dir, settings).organisation,
    }
    for answer, organisation in rows.items():
        page = text(client.get(changelist("tenants_removal"), {"waits": answer}))
        assert [name for name, each in rows.items() if each.label in page] == [answer]
        assert organisation.label in page


def test_a_failure_is_shown_and_tried_again(
    client: Client, backup_dir: Path, settings: Any
) -> None:
    removal = failed(backup_dir, settings)
    assert "nothing was removed" in text(client.get(page_of(removal)))
    again = page_of(removal).replace("/change/", "/again/")
    assert "nothing is removed twice" in text(client.get(again))
    answer = client.post(again, {"confirmed": "yes", "reason": "disk was full"}, follow=True)
    assert "Taken up within minutes" in text(answer)
    event = Event.objects.get(action="org_reaping_hurried")
    assert (event.actor_kind, event.reason) == ("staff", "disk was full")
    assert [each.action for each in reaper.sweep()] == ["deleted"]


def test_nothing_to_try_again_where_nothing_failed(client: Client) -> None:
    removal = Removal.objects.get(organisation=asked())
    page = text(client.get(page_of(removal).replace("/change/", "/again/")))
    assert "Nothing to do" in page and "does not wait for another try" in page


def test_one_that_is_due_is_put_off_and_can_be_restored_again(client: Client) -> None:
    """On a night on which deletions look wrong."""
    organisation = overdue(days=1)
    removal = Removal.objects.get(organisation=organisation)
    path = page_of(removal).replace("/change/", "/put_off/")
    page = client.post(path, {"confirmed": "yes", "days": "400", "reason": "look first"})
    assert "less than or equal to 365" in text(page)
    data = {"confirmed": "yes", "days": "7", "reason": "look first"}
    assert "Put off: " in text(client.post(path, data, follow=True))
    removal.refresh_from_db()
    assert 6.9 < (removal.due_at - timezone.now()).total_seconds() / 86400 <= 7
    assert reaper.sweep() == []
    lifecycle.restore(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)


@pytest.mark.covers("F64")
def test_pressed_twice_it_is_put_off_once(client: Client) -> None:
    removal = Removal.objects.get(organisation=asked(days=3))
    path, before = page_of(removal).replace("/change/", "/put_off/"), removal.due_at
    seen = re.search(f'name="seen_{removal.pk}" value="([^"]+)"', text(client.get(path)))
    assert seen is not None
    data = {"confirmed": "yes", "days": "7", "reason": "look first", f"seen_{removal.pk}": seen[1]}
    assert "Put off: " in text(client.post(path, data, follow=True))
    assert "was changed meanwhile, and is due on" in text(client.post(path, data, follow=True))
    removal.refresh_from_db()
    assert removal.due_at == before + timedelta(days=7)
    with pytest.raises(TransitionRefused) as refused:  # both had looked before either was done
        planning.put_off(organisation=removal.organisation, days=7, actor=ACTOR, seen=before)
    assert refused.value.code == "changed_meanwhile"


def test_a_removal_that_is_over_leads_to_what_became_of_it(client: Client) -> None:
    done, cancelled = overdue(days=1), asked(days=3)
    pages = [page_of(Removal.objects.get(organisation=each)) for each in (done, cancelled)]
    reap(done)
    lifecycle.restore(organisation=cancelled, by=SuspendedBy.OWNER, actor=ACTOR)
    receipt = DeletionReceipt.objects.get(organisation=done)
    answer = client.get(pages[0], follow=True)
    assert answer.redirect_chain[-1][0] == page_of(receipt)
    assert f"{done.label} was deleted. This is the receipt." in text(answer)
    for address in (pages[1], pages[1].replace("/change/", "x/change/")):
        answer = client.get(address, follow=True)
        assert answer.redirect_chain[-1][0] == changelist("tenants_removal")
        assert "This removal is over" in text(answer)


def test_the_receipt_is_checked_when_it_is_shown(client: Client) -> None:
    organisation: Organisation = overdue(days=1)
    reap(organisation)
    receipt = DeletionReceipt.objects.get(organisation=organisation)
    page = text(client.get(page_of(receipt)))
    assert "Genuine: signed with the present key" in page
    assert f"/receipts/{receipt.pk}" in page
    receipt.document["deleted"]["rows"] = 0
    receipt.save()
    assert "changed after it was signed" in text(client.get(page_of(receipt)))
