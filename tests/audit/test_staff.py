"""Staff look at a trail that somebody tampered with."""

from __future__ import annotations

from django.urls import reverse

from audit import sealing
from tests.admin import staff
from tests.audit.tampering import forge, record


def test_a_changed_event_is_told_on_its_page_and_by_its_seal(scratch: str) -> None:
    client = staff.signed_in(staff.superuser())
    (event,) = record()
    (batch,) = sealing.seal()
    forge(scratch, f"UPDATE audit_event SET reason = 'x' WHERE id = {event.pk}")
    verb = reverse("admin:audit_batch_change", args=[batch.pk]).replace("/change/", "/verify/")
    answer = client.post(verb, {"confirmed": "yes", "reason": ""}, follow=True)
    assert f"Event {event.pk} was changed." in answer.content.decode()
    page = client.get(reverse("admin:audit_event_change", args=[event.pk])).content.decode()
    assert "Changed" in page and f"Event {event.pk} was changed." in page
