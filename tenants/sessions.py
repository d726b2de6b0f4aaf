"""Database sessions that know their person and host, so that they can be ended without a search.

A session is valid only on the host that made it (design section 4, rule 8); `tenants.hosts` checks
that, and `HOST_KEY` is where it is written. The cookie alone would not tell: browsers send a
cookie to the host that set it, programs send it wherever they like (F16).

The table holds a hash of the cookie's value: who reads it can sign in as nobody.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db.models import Q
from django.utils import timezone

from tenants.models import Session

HOST_KEY = "_host"
BASE_KEY = "_base_session"  # on an organisation's host: reference of the session that handed over
_KEY = re.compile(r"[a-z0-9]{32}")


def reference(session_key: str | None) -> str:
    """What stands for a session in the database: 160 bits, as many as the column holds."""
    return hashlib.sha256(session_key.encode()).hexdigest()[:40] if session_key else ""


class SessionStore(DatabaseStore):
    """Django's own database store over `tenants.Session`, keyed by `reference`."""

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
        return row


def end(*, users: Iterable[UUID] = (), hosts: Iterable[str] = ()) -> int:
    """Signs these people out everywhere, and everybody out of these hosts; returns how many."""
    gone, _ = Session.objects.filter(Q(user__in=list(users)) | Q(host__in=list(hosts))).delete()
    return gone


def end_on_organisations(user: UUID) -> int:
    """Signs a person out of every organisation's host; a session on the base domain stays, and
    hands over again when it is asked to."""
    gone, _ = Session.objects.filter(user=user).exclude(host=settings.BASE_DOMAIN).delete()
    return gone


def end_one(reference: str) -> int:
    gone, _ = Session.objects.filter(session_key=reference).delete()
    return gone
