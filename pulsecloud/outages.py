"""What is wrong on a bad night, each with what to do about it and what goes on by itself.

Three things that the product leans on: its database, the mail server, and the relay as the built-in
runtime sees it. Read by /readyz of web, by the worker's log and by tests; docs/operations.md tells
the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

_EMBEDDED: Final = (
    "The supervisor starts the embedded one again by itself; postgres.log in the data directory's "
    "logs says why it ended."
)
_OWN: Final = (
    "Start the server that DATABASE_URL names, and look whether it can be reached from here."
)
# Mail that was refused once waits 2 s, then 10 s; who waits longer has a reason.
MAIL_LATE: Final = timedelta(seconds=10)
# Between becoming active and being connected.
CONNECTS_WITHIN: Final = timedelta(seconds=30)


def database() -> str:
    """What is to be done while the database does not answer."""
    remedy = _EMBEDDED if settings.EMBEDDED_POSTGRES else _OWN
    return (
        f"The database does not answer. {remedy} Nothing else has to be restarted: people and "
        "phones get 503 meanwhile, connected phones stay connected, and jobs go on where they were."
    )


def mail() -> str:
    """Why mail is late and what to do; empty when none is. Raises DatabaseError."""
    from tenants.models import OutboxMail  # this module is imported before applications are ready

    late = OutboxMail.objects.filter(sent_at=None, created_at__lt=timezone.now() - MAIL_LATE)
    late = late.exclude(body="").exclude(error="").order_by("created_at")
    first = late.first()
    if first is None:
        return ""
    return (
        f"{late.count()} mails wait, the first since {first.created_at:%Y-%m-%d %H:%M} UTC; the mail "
        f"server said: {first.error} Look whether the server that EMAIL_URL names takes mail from "
        "here. Each is tried again by itself for nine hours; `manage.py mail --now` tries all now."
    )


def relay() -> str:
    """Why no organisation is connected and what to do; empty unless that is so.

    Raises DatabaseError.
    """
    from relay.models import RelayStatus
    from relay.status import STALE_AFTER
    from tenants.models import Organisation, Runtime, State

    if not settings.HOSTED_MODE:
        return ""
    now = timezone.now()
    served = Organisation.objects.filter(
        state=State.ACTIVE, runtime=Runtime.BUILTIN, provisioned_at__lt=now - CONNECTS_WITHIN
    )
    known = RelayStatus.objects.filter(organisation__in=served)
    lately = known.filter(seen_at__gt=now - STALE_AFTER)
    if not served.exists() or lately.filter(connected=True).exists():
        return ""
    count = served.count()
    if not lately.exists():
        return (
            f"No phone can reach any of {count} organisations: the runtime has said nothing for "
            f"{STALE_AFTER.seconds} s. Look whether it runs; runtime.log in the data directory's "
            "logs says why it does not."
        )
    error = lately.exclude(last_error="").values_list("last_error", flat=True).first()
    return (
        f"No phone can reach any of {count} organisations: none is connected to the relay"
        f"{f' ({error})' if error else ''}. Look whether the relay runs and what its /readyz says. "
        "All connect by themselves once it is back, and phones stay paired."
    )


def late() -> list[tuple[str, str]]:
    """Those that keep web from nothing, as pairs of stable code and sentence. Raises DatabaseError."""
    facts = [("mail_waits", mail()), ("nobody_connected", relay())]
    return [(code, text) for code, text in facts if text]
