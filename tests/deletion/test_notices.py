"""Nobody loses an organisation unwarned: on request, a week before, a day before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.models import Event
from tenants import lifecycle, mail
from tenants.deletion import notices, outcomes, planning, reaping
from tenants.models import Organisation, OutboxMail, Removal, State, SuspendedBy
from tenants.states import TransitionRefused
from tests.deletion.aging import ACTOR, asked, due_at, kinds, overdue, pass_time, reap, state_of
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db


def mails_to(organisation: Organisation) -> list[OutboxMail]:
    return list(OutboxMail.objects.filter(recipient=organisation.owner_email).order_by("pk"))


def removal_of(organisation: Organisation) -> Removal:
    return Removal.objects.select_related("organisation").get(organisation=organisation)


def test_on_request_with_the_date_and_the_way_back() -> None:
    organisation = asked(days=30, display_name="Acme")
    (sent,) = mails_to(organisation)
    due = due_at(organisation)
    assert sent.subject == f"Acme will be deleted on {due.day} {due:%B %Y}"
    assert f"{due.day} {due:%B %Y}" in sent.body
    assert "cancelling the deletion" in sent.body
    assert kinds(organisation) == ["requested"]
    event = Event.objects.get(action="org_deletion_notice", organisation=organisation.pk)
    assert event.after is not None and event.after["kind"] == "requested"


def test_staff_asked_so_staff_are_who_to_ask() -> None:
    organisation = asked(by=SuspendedBy.PLATFORM)
    (sent,) = mails_to(organisation)
    assert "The people who run this PulseCloud will delete" in sent.body
    assert "ask the people who run this PulseCloud" in sent.body


def test_a_week_and_a_day_before_and_each_once() -> None:
    organisation = asked(days=30)
    for span, expected in (
        ({"days": 22.9}, ["requested"]),
        ({"days": 0.2}, ["requested", "week"]),
        ({"days": 5}, ["requested", "week"]),
        ({"days": 0.9}, ["requested", "week", "day"]),
        ({"hours": 20}, ["requested", "week", "day"]),
    ):
        pass_time(organisation, **span)
        notices.send_due()
        notices.send_due()
        assert kinds(organisation) == expected, span
    assert "This is a reminder" in mails_to(organisation)[-1].body


@pytest.mark.parametrize(("days", "expected"), [(1, 1), (2, 2), (8, 2), (9, 3)])
def test_short_retentions_have_fewer(days: int, expected: int) -> None:
    organisation = asked(days=days)
    for _ in range(days * 4 - 1):
        pass_time(organisation, hours=6)
        notices.send_due()
    assert len(mails_to(organisation)) == expected
    pass_time(organisation, hours=6, minutes=1)
    assert reap(organisation).action == "deleted"


def test_never_deleted_before_a_notice_was_out_for_a_day() -> None:
    """The worker stood still for a month: it reminds first, and the way back stays open."""
    organisation = asked(days=30)
    pass_time(organisation, days=31)
    with pytest.raises(TransitionRefused) as refused:
        reap(organisation)
    assert refused.value.code == "notice_outstanding"
    assert reaping.once() == []
    assert kinds(organisation) == ["requested", "day"]
    assert due_at(organisation) > timezone.now() + timedelta(hours=23)
    event = Event.objects.get(action="org_deletion_put_off", organisation=organisation.pk)
    assert "not been told" in event.reason
    assert due_at(organisation).strftime("%H:%M") in mails_to(organisation)[-1].body

    pass_time(organisation, hours=23, minutes=50)
    assert reaping.once() == [] and state_of(organisation) == State.PENDING_DELETION
    pass_time(organisation, minutes=11)
    assert [each.action for each in reaping.once()] == ["deleted"]
    assert state_of(organisation) == State.DELETED


def test_while_smtp_is_down_nothing_is_deleted(settings: Any) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    organisation = asked(days=2)
    pass_time(organisation, hours=23)
    notices.send_due()
    assert kinds(organisation) == ["requested", "day"]
    pass_time(organisation, hours=24, minutes=50)
    for _ in range(3):
        assert reaping.once() == []
    assert Event.objects.filter(action="org_deletion_put_off").count() == 1
    assert kinds(organisation) == ["requested", "day"], "it is still being tried"

    OutboxMail.objects.filter(sent_at=None).update(sent_at=timezone.now(), body="")
    pass_time(organisation, hours=23)
    assert reaping.once() == []
    pass_time(organisation, hours=1, minutes=1)
    assert [each.action for each in reaping.once()] == ["deleted"]


def test_a_dead_mailbox_does_not_keep_data_for_ever(settings: Any) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    organisation = asked(days=2)
    pass_time(organisation, days=1)
    for given_up in range(1, notices.GIVEN_UP + 1):
        notices.send_due()
        assert kinds(organisation).count("day") == given_up
        latest = mails_to(organisation)[-1]
        mail.give_up(latest.pk, "SMTPRecipientsRefused: 550 no such mailbox")
        told = notices.told_at(removal_of(organisation))
        assert (told is not None) == (given_up == notices.GIVEN_UP)
    notices.send_due()
    assert kinds(organisation).count("day") == notices.GIVEN_UP
    pass_time(organisation, days=2)
    assert [each.action for each in reaping.once()] == ["deleted"]


def test_reminded_again_of_one_that_was_put_off() -> None:
    organisation = overdue(days=2)
    assert kinds(organisation) == ["requested", "day"]
    planning.put_off(organisation=organisation, days=7, actor=ACTOR, reason="asked by mail")
    assert notices.send_due() == 0
    pass_time(organisation, days=6)
    assert reaping.once() == []
    assert kinds(organisation) == ["requested", "day", "day"]
    assert notices.send_due() == 0
    pass_time(organisation, days=1, minutes=1)
    assert [each.action for each in reaping.once()] == ["deleted"]


def test_cancelled_and_told_so() -> None:
    organisation = asked(display_name="Acme")
    lifecycle.restore(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
    assert not Removal.objects.filter(organisation=organisation).exists()
    last = mails_to(organisation)[-1]
    assert last.subject == "Acme will not be deleted"
    assert "It is open again" in last.body
    assert notices.send_due() == 0


def test_canaries_are_not_mailed() -> None:
    organisation = asked(canary=True)
    pass_time(organisation, days=29.5)
    assert notices.send_due() == 0
    assert mails_to(organisation) == []


def test_nothing_is_posted_while_hosted_mode_is_off(settings: Any) -> None:
    organisation = asked(days=30)
    pass_time(organisation, days=31)
    settings.HOSTED_MODE = False
    assert reaping.once() == []
    assert kinds(organisation) == ["requested"]


@pytest.mark.parametrize("mode", ["off", "dry-run"])
def test_owners_are_reminded_whatever_the_reaper_may_do(settings: Any, mode: str) -> None:
    settings.REAPER = mode
    organisation, over = asked(days=30), overdue()
    pass_time(organisation, days=29)
    actions = [each.action for each in reaping.once()]
    assert actions == ([] if mode == "off" else [outcomes.DRY_RUN])
    assert kinds(organisation)[-1] == "day"
    assert state_of(over) == State.PENDING_DELETION


def test_one_that_cannot_be_reminded_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    sick, well, over = asked(days=30), asked(days=30), overdue()
    for each in (sick, well):
        pass_time(each, days=29)
    send = mail.send_later

    def refuse(**rest: Any) -> OutboxMail:
        if rest["to"] == sick.owner_email:
            raise ValueError("no mail can be made of this")
        return send(**rest)

    monkeypatch.setattr(mail, "send_later", refuse)
    assert [each.label for each in reaping.once()] == [over.label]
    assert (kinds(sick)[-1], kinds(well)[-1]) == ("requested", "day")


def test_a_hostile_name_stays_one_line_of_a_subject() -> None:
    organisation = make_organisation(display_name='Eve\r\nBcc: all@example.test <b>"')
    lifecycle.soft_delete(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
    (sent,) = mails_to(organisation)
    assert "\n" not in sent.subject and "\r" not in sent.subject
