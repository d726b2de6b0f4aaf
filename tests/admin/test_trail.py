"""What staff do with the audit trail: ask, export, look at seals, check them."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit import canonical, sealing, trail
from audit.actors import Actor
from audit.models import Batch, Event
from tests.admin import staff
from tests.admin.staff import HOSTILE, changelist
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db


def write(**fields: Any) -> Event:
    fields.setdefault("actor", Actor("person", "1", "ann@example.test"))
    return trail.record(action="thing_done", **fields)


def shown(client: Client, **query: str) -> set[int]:
    answer = client.get(changelist("audit_event"), query)
    assert answer.status_code == 200
    return {event.pk for event in answer.context["cl"].result_list}


def exported(client: Client, kind: str, **query: str) -> str:
    answer = client.get(reverse("admin:audit_event_export", args=[kind]), query)
    assert answer.status_code == 200
    assert answer["Content-Disposition"].startswith('attachment; filename="audit-')
    return b"".join(answer).decode()


def test_filters(client: Client) -> None:
    organisation = make_organisation()
    one = write(organisation=organisation.pk)
    two = write(success=False, actor=Actor("staff", "2", "bob@example.test"))
    assert two.pk in shown(client, success="no") and one.pk not in shown(client, success="no")
    assert one.pk in shown(client, success="yes") and two.pk not in shown(client, success="yes")
    assert one.pk in shown(client, whose="organisation")
    assert two.pk in shown(client, whose="platform") and one.pk not in shown(
        client, whose="platform"
    )
    sealing.seal()
    three = write()
    number = Batch.objects.latest("number").number
    assert {one.pk, two.pk} <= shown(client, q=f"#{number}")
    assert three.pk not in shown(client, q=f"#{number}")


@pytest.mark.covers("F68")
def test_exports_what_the_list_shows(client: Client, superuser: Any) -> None:
    write(subject="kept", reason="=1+1", actor=Actor("staff", "2", HOSTILE))
    write(subject="left out")
    text = exported(client, "csv", who="staff", q="thing_")
    (row,) = csv.DictReader(io.StringIO(text.lstrip("\ufeff"), newline=""))
    assert (row["subject"], row["reason"], row["actor"]) == ("kept", "'=1+1", HOSTILE)
    events = json.loads(exported(client, "json", who="staff", q="thing_"))["events"]
    assert [event["subject"] for event in events] == ["kept"]
    event = Event.objects.latest("id")
    assert (event.action, event.actor_kind, event.actor_id) == (
        "audit_exported",
        "staff",
        str(superuser.pk),
    )
    assert event.after == {"format": "json", "filters": "who=staff&q=thing_"}
    page = client.get(changelist("audit_event"), {"who": "staff"}).content.decode()
    assert "/export/csv?who=staff" in page


def test_export_needs_permission(db: None) -> None:
    path = reverse("admin:audit_event_export", args=["csv"])
    assert staff.signed_in(staff.staff_with("view_lease")).get(path).status_code == 403
    assert Client(headers={"host": staff.HOST}).get(path).status_code == 302
    viewer = staff.signed_in(staff.staff_with("view_event"))
    assert viewer.get(path).status_code == 200
    assert viewer.get(path.replace("/csv", "/xml")).status_code == 404


def test_an_events_page_says_whether_it_is_as_it_was(client: Client) -> None:
    event = write()
    path = reverse("admin:audit_event_change", args=[event.pk])
    assert "Not sealed yet" in client.get(path).content.decode()
    sealing.seal()
    page = client.get(path).content.decode()
    assert "As it was recorded" in page
    assert f"Seal {Batch.objects.latest('number').number}</a>" in page


def test_a_seal_is_checked_on_request(client: Client) -> None:
    write()
    (batch,) = sealing.seal()
    path = reverse("admin:audit_batch_change", args=[batch.pk])
    page = client.get(path).content.decode()
    assert canonical.head_text(batch) in page
    verb = path.replace("/change/", "/verify/")
    assert verb in page or "Verify now" in page
    assert "Nothing is changed" in client.get(verb).content.decode()
    answer = client.post(verb, {"confirmed": "yes", "reason": ""}, follow=True)
    assert "As it was sealed: seal" in answer.content.decode()


def test_seals_are_found_by_number_and_head(client: Client) -> None:
    write()
    (first,) = sealing.seal()
    write()
    (second,) = sealing.seal()

    def found(term: str) -> set[int]:
        answer = client.get(changelist("audit_batch"), {"q": term})
        return {batch.pk for batch in answer.context["cl"].result_list}

    assert found(str(first.pk)) == {first.pk}
    assert found(canonical.head_text(second)) == {second.pk}
    assert found(second.hash) == {second.pk}
    assert found("nothing of the sort") == set()
    answer = client.get(changelist("audit_batch"), {"key": "own"})
    assert {first.pk, second.pk} <= {b.pk for b in answer.context["cl"].result_list}


def test_sealing_that_stands_still_is_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    write()
    assert "wait" in client.get(changelist("audit_batch")).content.decode()
    assert not [n for n in client.get("/admin/").context["notices"] if "sealed" in n.text]
    monkeypatch.setattr(sealing, "STUCK", timedelta(0))
    assert (
        "have been waiting to be sealed" in client.get(changelist("audit_batch")).content.decode()
    )
    (notice,) = [n for n in client.get("/admin/").context["notices"] if "sealed" in n.text]
    assert client.get(notice.address).status_code == 200
    sealing.seal()
    assert "Every event is sealed" in client.get(changelist("audit_batch")).content.decode()
