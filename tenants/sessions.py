"""Database sessions that know their person and host, so that they can be ended without a search.

A session is valid only on the host that made it (design section 4, rule 8); `tenants.hosts` checks
that, and `HOST_KEY` is where it is written. The cookie alone would not tell: browsers send a
cookie to the host that set it, programs send it wherever they like (F16).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db.models import Q

from tenants.models import Session

HOST_KEY = "_host"
_KEY = re.compile(r"[a-z0-9]{32}")


class SessionStore(DatabaseStore):
    """Django's own database store over `tenants.Session`."""

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def _validate_session_key(self, key: str | None) -> bool:
        """Only what Django itself makes; a cookie can spell NUL, which PostgreSQL refuses."""
        return bool(_KEY.fullmatch(key or ""))

    def create_model_instance(self, data: Mapping[str, Any]) -> Session:
        row: Session = super().create_model_instance(dict(data))  # type: ignore[assignment]
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


def end_one(session_key: str) -> int:
    gone, _ = Session.objects.filter(session_key=session_key).delete()
    return gone
