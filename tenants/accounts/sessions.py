"""Database sessions that know their person and host, so that they can be ended without a search.

A session is valid only on the host that made it (design section 4, rule 8); `tenants.hosts` checks
that, and `HOST_KEY` is where it is written. The cookie alone would not tell: browsers send a
cookie to the host that set it, programs send it wherever they like (F16).

The table holds a hash of the cookie's value: who reads it can sign in as nobody.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db.models import Q
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from tenants import limits
from tenants.models import Session

HOST_KEY = "_host"
BASE_KEY = "_base_session"  # on an organisation's host: reference of the session that handed over
_MET_KEY = "_met"  # [Unix time, address, browser] of the sign-in
_KEY = re.compile(r"[a-z0-9]{32}")

# How exactly a list of sessions knows when one was used last; each is written this seldom.
TOUCH_EVERY: Final = timedelta(minutes=1)


def reference(session_key: str | None) -> str:
    """What stands for a session in the database: 160 bits, as many as the column holds."""
    return hashlib.sha256(session_key.encode()).hexdigest()[:40] if session_key else ""


class SessionStore(DatabaseStore):
    """Django's own database store over `tenants.Session`, keyed by `reference`."""

    seen_at: datetime | None = None  # as it was when the session was read

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def _validate_session_key(self, key: str | None) -> bool:
        """Only what Django itself makes; a cookie can spell NUL, which PostgreSQL refuses."""
        return bool(_KEY.fullmatch(key or ""))

    def _get_session_from_db(self) -> Session | None:
        row = Session.objects.filter(
            session_key=reference(self.session_key), expire_date__gt=timezone.now()
        ).first()
        if row is None:
            self._session_key = None  # Django's way to say that the cookie is to be dropped
        else:
            self.seen_at = row.seen_at
        return row

    def exists(self, session_key: str) -> bool:
        return super().exists(reference(session_key))

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            super().delete(reference(key))

    def create_model_instance(self, data: Mapping[str, Any]) -> Session:
        row: Session = super().create_model_instance(dict(data))  # type: ignore[assignment]
        row.session_key = reference(row.session_key)
        row.user = UUID(data[SESSION_KEY]) if SESSION_KEY in data else None
        row.host = str(data.get(HOST_KEY, ""))
        if met := data.get(_MET_KEY):
            row.created_at = datetime.fromtimestamp(met[0], UTC)
            row.address, row.agent = met[1] or None, met[2]
        return row

    def touch(self) -> None:
        """Notes that the session is in use, at most once in TOUCH_EVERY."""
        now = timezone.now()
        if self.seen_at is None or now - self.seen_at < TOUCH_EVERY:
            return
        Session.objects.filter(pk=reference(self.session_key)).update(seen_at=now)
        self.seen_at = now


@receiver(user_logged_in)
def _meet(request: HttpRequest, **_: object) -> None:
    """Keeps from where and with what somebody signed in, for the list of their sessions."""
    if hasattr(request, "session"):
        agent = request.META.get("HTTP_USER_AGENT", "").replace("\x00", "")[:300]
        request.session[_MET_KEY] = [time.time(), limits.address_of(request), agent]


def end(*, users: Iterable[UUID] = (), hosts: Iterable[str] = ()) -> int:
    """Signs these people out everywhere, and everybody out of these hosts; returns how many."""
    gone, _ = Session.objects.filter(Q(user__in=list(users)) | Q(host__in=list(hosts))).delete()
    return gone


def end_on_organisations(user: UUID) -> int:
    """Signs a person out of every organisation's host; a session on the base domain stays, and
    hands over again when it is asked to."""
    gone, _ = Session.objects.filter(user=user).exclude(host=settings.BASE_DOMAIN).delete()
    return gone


def end_on_host(user: UUID, host: str) -> int:
    """Signs a person out of one host."""
    gone, _ = Session.objects.filter(user=user, host=host).delete()
    return gone


def end_one(reference: str) -> int:
    """Ends one session, and those on organisations' hosts that it handed over."""
    row = Session.objects.filter(session_key=reference).first()
    if row is None:
        return 0
    handed_over = [other.pk for other in of(row.user) if handed_over_by(other) == reference]
    gone, _ = Session.objects.filter(session_key__in=[reference, *handed_over]).delete()
    return gone


def end_others(user: UUID, *, but: Iterable[str]) -> int:
    """Ends every session of a person except those with the references `but`."""
    gone, _ = Session.objects.filter(user=user).exclude(session_key__in=list(but)).delete()
    return gone


def of(user: UUID | None) -> list[Session]:
    """A person's living sessions on all hosts, last used first."""
    living = Session.objects.filter(user=user, expire_date__gt=timezone.now())
    return list(living.order_by("-seen_at", "session_key")) if user else []


def handed_over_by(row: Session) -> str:
    """The reference of the base domain's session that led to this one; empty for one there."""
    return str(row.get_decoded().get(BASE_KEY, ""))
