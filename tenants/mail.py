"""Outgoing mail: a row and a job in the caller's transaction, delivery by the worker.

A body holds single-use links, which are credentials. So it is kept only until it was handed to
SMTP; in development, where there is no SMTP, it stays readable in the staff outbox. Logs name the
recipient and the subject, nothing else.
"""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone

from audit import trail
from audit.actors import Actor
from tenants import jobs
from tenants.models import OutboxMail

log = structlog.get_logger(__name__)

# Seconds before each further attempt; about nine hours in all.
RETRY_AFTER = (2, 10, 60, 300, 900, 3600, 7200, 21600)

SENT_KEPT = timedelta(days=90)
# Longer than any deletion waits: a notice that nobody got must not look like one that was sent.
UNSENT_KEPT = timedelta(days=400)


class NotDelivered(Exception):
    """SMTP did not take the mail now; the same attempt may work later."""


def send_later(*, to: str, subject: str, template: str, context: Mapping[str, Any]) -> OutboxMail:
    """Renders mail/<template>.txt now and has the worker send it once the transaction commits."""
    return post(
        to=to, subject=subject, body=render_to_string(f"mail/{template}.txt", dict(context))
    )


def post(*, to: str, subject: str, body: str) -> OutboxMail:
    """The same for a text that is rendered already."""
    smtp = bool(settings.EMAIL_URL)
    mail = OutboxMail.objects.create(
        recipient=to,
        subject=" ".join(subject.split())[:200],
        body=body,
        sent_at=None if smtp else timezone.now(),
    )
    if smtp:
        jobs.defer("tenants.tasks.deliver", queueing_lock=f"mail:{mail.pk}", mail=mail.pk)
    # Only what is kept was written: a dry run rolls it back.
    written = partial(
        log.info, "mail written", recipient=mail.recipient, subject=mail.subject, smtp=smtp
    )
    transaction.on_commit(written)
    return mail


def deliver(mail_id: int) -> None:
    """Hands one mail to SMTP; does nothing for one that was sent already.

    Raises NotDelivered when a later attempt may work. A refusal for good is written down and ends
    it. Should the process die between SMTP's yes and our note of it, the mail goes out twice.
    """
    mail = OutboxMail.objects.filter(pk=mail_id, sent_at=None).first()
    if mail is None or not mail.body:
        return
    message = EmailMessage(mail.subject, mail.body, settings.DEFAULT_FROM_EMAIL, [mail.recipient])
    try:
        message.send()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        mail.error = f"{type(error).__name__}: {error}"[:1000]
        if _for_good(error):
            give_up(mail_id, mail.error)
            return
        mail.save(update_fields=["error"])
        log.warning(
            "mail not delivered",
            recipient=mail.recipient,
            subject=mail.subject,
            error=type(error).__name__,
            remedy="look whether the server that EMAIL_URL names takes mail; it is tried again",
        )
        raise NotDelivered(mail.error) from error
    mail.sent_at, mail.body, mail.error = timezone.now(), "", ""
    mail.save(update_fields=["sent_at", "body", "error"])
    log.info("mail delivered", recipient=mail.recipient, subject=mail.subject)


def waiting() -> QuerySet[OutboxMail]:
    """Mail that is still to be sent, oldest first; `error` is why it was not so far."""
    return OutboxMail.objects.filter(sent_at=None).exclude(body="").order_by("created_at", "pk")


def try_now(*, actor: Actor, reason: str = "") -> int:
    """Has the worker try at once what would be tried later; returns how many.

    For when the mail server is back: the later attempts of a mail are hours apart. It counts as
    one of a mail's attempts (RETRY_AFTER).
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_jobs SET scheduled_at = NULL"
            " WHERE task_name = 'tenants.tasks.deliver' AND status = 'todo' AND scheduled_at > now()"
        )
        hurried = int(cursor.rowcount)
        if hurried:
            trail.record(
                action="mail_tried_now", actor=actor, reason=reason, after={"mails": hurried}
            )
    return hurried


def give_up(mail_id: int, error: str) -> None:
    """Ends the attempts: the reason stays for staff, the body with its links does not."""
    OutboxMail.objects.filter(pk=mail_id, sent_at=None).update(body="", error=error)
    log.error("mail given up", mail=mail_id)


def forget() -> int:
    """Deletes what was sent, or given up, long ago: whom we wrote to is nobody's business for ever.

    Returns how many.
    """
    now = timezone.now()
    old = OutboxMail.objects.filter(
        Q(sent_at__lt=now - SENT_KEPT) | Q(sent_at=None, body="", created_at__lt=now - UNSENT_KEPT)
    )
    return old.delete()[0]


def _for_good(error: Exception) -> bool:
    """5xx answers, and addresses that cannot be written into a message."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(500 <= code < 600 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPResponseException):
        # 530 and 535 are about our own credentials, which an operator will put right.
        return 500 <= error.smtp_code < 600 and error.smtp_code not in (530, 534, 535)
    return isinstance(error, ValueError)
