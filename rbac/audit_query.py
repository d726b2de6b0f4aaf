"""Which events of the organisation somebody asks for, and reading them within a time limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_date, parse_datetime
from psycopg import errors

from audit.models import Event
from rbac import audit_shown
from tenants.door import Refused
from tenants.http.problems import Problem

# One organisation's search may not hold a database connection for long.
TIMEOUT_MS: Final = 3000
RETRY_SECONDS: Final = 2
# Names that the contract's documents use for the same thing (hosted-contract section 11.4).
ALIASES: Final = {
    "oidc_login": "sso_oidc_login",
    "oidc_role_assignment": "sso_oidc_role_assignment",
}
# Nothing happened here before, and arithmetic with later times leaves the calendar.
YEARS: Final = range(2000, 9001)
RECENT: Final = 5000  # events that are looked at for the names to choose from


@dataclass(frozen=True)
class Wanted:
    """Filters; `start` belongs to the span, `end` does not."""

    event: str = ""
    user: str = ""
    success: bool | None = None
    start: datetime | None = None
    end: datetime | None = None

    def rows(self, organisation: UUID) -> QuerySet[Event]:
        """Of this organisation only: other ones' events and the platform's own are never in it."""
        rows = Event.objects.filter(organisation=organisation)
        if self.event:
            name = self.event.lower()
            rows = rows.filter(action=ALIASES.get(name, name))
        if self.user:
            rows = rows.filter(_by(self.user))
        if self.success is not None:
            rows = rows.filter(success=self.success)
        if self.start:
            rows = rows.filter(at__gte=self.start)
        if self.end:
            rows = rows.filter(at__lt=self.end)
        return rows

    @property
    def query(self) -> str:
        """The same as the API's query string."""
        success = None if self.success is None else str(self.success).lower()
        times = {
            name: audit_shown.time_text(moment)
            for name, moment in (("startTime", self.start), ("endTime", self.end))
            if moment
        }
        given = {"event": self.event, "user": self.user, "success": success}
        return urlencode({name: value for name, value in given.items() if value} | times)


def from_api(query: Mapping[str, Any]) -> Wanted:
    """Raises Problem 400 `invalid_success`, `invalid_start_time`, `invalid_end_time`,
    `invalid_time_range`."""
    success = str(query.get("success", "")).strip().lower()
    if success not in ("", "true", "false"):
        raise Problem(400, "invalid_success", "success must be true or false.")
    start = _time(query, "startTime", "invalid_start_time")
    end = _time(query, "endTime", "invalid_end_time")
    if start and end and start > end:
        raise Problem(400, "invalid_time_range", "startTime must not be after endTime.")
    return Wanted(
        event=_text(query, "event"),
        user=_text(query, "user"),
        success=None if not success else success == "true",
        start=start,
        end=end,
    )


def from_page(query: Mapping[str, Any]) -> Wanted:
    """The page's form: `from` and `to` are days in UTC, both included. What makes no sense counts
    as not given."""
    start, end = _day(query, "from"), _day(query, "to")
    return Wanted(
        event=_text(query, "event"),
        user=_text(query, "user"),
        success={"yes": True, "no": False}.get(str(query.get("outcome", ""))),
        start=start,
        end=end + timedelta(days=1) if end else None,
    )


def recent_names(organisation: UUID) -> list[str]:
    """The names of the organisation's recent events."""
    recent = Event.objects.filter(organisation=organisation).order_by("-id")[:RECENT]
    return sorted(set(recent.values_list("action", flat=True)))


@contextmanager
def reading() -> Iterator[None]:
    """Queries in this block are ended after TIMEOUT_MS.

    Raises Refused 503: `audit_store_busy` when that happened, `audit_store_unavailable` when the
    database could not answer at all.
    """
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {int(TIMEOUT_MS)}")
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, errors.QueryCanceled | errors.LockNotAvailable):
            raise Refused(
                503, "audit_store_busy", "The audit trail is busy. Ask again in a moment."
            ) from error
        raise Refused(
            503, "audit_store_unavailable", "The audit trail cannot be read just now."
        ) from error


def _by(user: str) -> Q:
    """Who did it, by the names that are shown: what is hidden cannot be searched for either."""
    hidden = {
        audit_shown.STAFF.lower(): "staff",
        audit_shown.SOFTWARE.lower(): "system",
        audit_shown.NOBODY.lower(): "anonymous",
    }
    if kind := hidden.get(user.lower()):
        return Q(actor_kind=kind)
    if user.startswith(audit_shown.TOKEN):
        return Q(actor_kind="token", actor_label__icontains=user[len(audit_shown.TOKEN) :])
    named = Q(actor_label__icontains=user) | Q(actor_id=user)
    return Q(actor_kind__in=["person", "token"]) & named


def _text(query: Mapping[str, Any], name: str) -> str:
    return str(query.get(name, "")).strip()[:320]


def _time(query: Mapping[str, Any], name: str, code: str) -> datetime | None:
    """RFC 3339 with its zone; a `+` that a query string turned into a blank is one."""
    text = str(query.get(name, "")).strip()
    if not text:
        return None
    try:
        moment = parse_datetime(text.replace(" ", "+") if "T" in text else text)
        if moment is not None and moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
            if moment.year in YEARS:
                return moment
    except (ValueError, OverflowError):
        pass
    raise Problem(400, code, f"{name} must be a time such as 2026-03-02T09:00:00Z.")


def _day(query: Mapping[str, Any], name: str) -> datetime | None:
    try:
        day = parse_date(str(query.get(name, "")).strip())
    except (ValueError, OverflowError):
        return None
    if day is None or day.year not in YEARS:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
