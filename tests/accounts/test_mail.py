"""Mail: through a real SMTP server, retried, forgotten once sent; kept for staff in development."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from pulsecloud import database
from tenants import mail
from tenants.models import OutboxMail
from tests.accounts.postbox import Postbox, open_postbox
from tests.factories import unique

pytestmark = pytest.mark.django_db


@pytest.fixture
def postbox(settings: Any) -> Iterator[Postbox]:
    with open_postbox() as box:
        use(settings, box.url)
        yield box


def use(settings: Any, url: str) -> None:
    settings.EMAIL_URL = url
    for name, value in database.email_settings(url).items():
        setattr(settings, name, value)


def write(
    to: str | None = None, body: str = "Dear reader\nhttp://localhost/x/secret\n"
) -> OutboxMail:
    return mail.post(to=to or f"{unique('reader')}@example.test", subject="Höi\nthere", body=body)


def test_is_handed_to_smtp_and_its_body_forgotten(postbox: Postbox) -> None:
    row = write()
    assert row.body
    assert ProcrastinateJob.objects.filter(args__mail=row.pk, status="todo").count() == 1
    mail.deliver(row.pk)
    [(recipients, message)] = postbox.received
    assert recipients == [row.recipient]
    assert message["Subject"] == "Höi there"
    assert message["To"] == row.recipient
    assert "http://localhost/x/secret" in message.get_content()
    row.refresh_from_db()
    assert row.sent_at is not None
    assert (row.body, row.error) == ("", "")


def test_the_job_twice_sends_once(postbox: Postbox) -> None:
    row = write()
    mail.deliver(row.pk)
    mail.deliver(row.pk)
    mail.deliver(10**9)
    assert len(postbox.received) == 1


@pytest.mark.parametrize("stage", ["at_rcpt", "at_data"])
def test_a_passing_refusal_is_tried_again(postbox: Postbox, stage: str) -> None:
    setattr(postbox, stage, "451 not now")
    row = write()
    with pytest.raises(mail.NotDelivered):
        mail.deliver(row.pk)
    row.refresh_from_db()
    assert "451" in row.error
    assert row.body
    setattr(postbox, stage, "")
    mail.deliver(row.pk)
    row.refresh_from_db()
    assert len(postbox.received) == 1
    assert row.error == ""


@pytest.mark.parametrize("stage", ["at_rcpt", "at_data"])
def test_a_refusal_for_good_is_written_down_and_ends_it(postbox: Postbox, stage: str) -> None:
    setattr(postbox, stage, "550 nobody here")
    row = write()
    mail.deliver(row.pk)
    row.refresh_from_db()
    assert row.sent_at is None
    assert "550" in row.error
    assert row.body == ""


def test_a_server_that_is_down_is_tried_again(settings: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        use(settings, f"smtp://127.0.0.1:{closed.getsockname()[1]}?tls=off")
        row = write()
        with pytest.raises(mail.NotDelivered):
            mail.deliver(row.pk)
    row.refresh_from_db()
    assert "refused" in row.error.lower()


def test_after_the_last_attempt_the_body_goes_and_the_reason_stays(postbox: Postbox) -> None:
    from procrastinate import JobContext, jobs
    from procrastinate.contrib.django import app

    from tenants import tasks

    postbox.at_data = "451 still not"
    row = write()

    job = jobs.Job(
        id=1,
        queue="default",
        lock=None,
        queueing_lock=None,
        task_name=tasks.deliver.name,
        attempts=len(mail.RETRY_AFTER),
    )
    context = JobContext(
        app=app, start_timestamp=0.0, job=job, abort_reason=lambda: None, worker_name="test"
    )
    with pytest.raises(mail.NotDelivered):
        tasks.deliver(context, mail=row.pk)
    row.refresh_from_db()
    assert (row.body, row.sent_at) == ("", None)
    assert "451" in row.error
    decide = tasks.MailRetry().get_retry_decision
    error = mail.NotDelivered()
    assert decide(exception=error, job=job) is None
    assert decide(exception=error, job=job.evolve(attempts=0)) is not None


def test_without_smtp_it_stays_for_the_staff_outbox(settings: Any) -> None:
    settings.EMAIL_URL = None
    row = write()
    assert row.sent_at is not None
    assert "secret" in row.body
    assert not ProcrastinateJob.objects.filter(args__mail=row.pk).exists()


def test_logs_name_recipient_and_subject_only(
    postbox: Postbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        row = write()
        mail.deliver(row.pk)
    ours = [r for r in caplog.records if r.name != "mail.log"]  # the SMTP server of this test
    text = "\n".join(r.getMessage() for r in ours)
    assert row.recipient in text
    assert "secret" not in text


def test_an_address_cannot_smuggle_headers(postbox: Postbox) -> None:
    row = write(to="a@b.example\nBcc: everybody@example.test")
    mail.deliver(row.pk)
    row.refresh_from_db()
    assert postbox.received == []
    assert row.error
    assert row.body == ""


def test_old_mail_is_forgotten_and_what_never_went_out_is_kept_longer() -> None:
    now = timezone.now()
    ages = {"sent": (True, 91), "recent": (True, 89), "given up": (False, 399), "old": (False, 401)}
    mails = {}
    for name, (sent, days) in ages.items():
        at = now - timedelta(days=days)
        mails[name] = OutboxMail.objects.create(
            recipient="reader@example.test", created_at=at, sent_at=at if sent else None
        )
    waits = OutboxMail.objects.create(
        recipient="reader@example.test", body="x", created_at=now - timedelta(days=500)
    )
    mail.forget()
    kept = set(
        OutboxMail.objects.filter(recipient="reader@example.test").values_list("pk", flat=True)
    )
    assert kept == {mails["recent"].pk, mails["given up"].pk, waits.pk}
