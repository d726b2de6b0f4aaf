"""The organisation's audit trail as a file (hosted-contract section 24): JSON or CSV, streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from typing import Any, Final

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from audit import export, trail
from audit.models import Event
from rbac import audit_query, audit_shown
from rbac.api import actor_of
from rbac.audit_api import FILTERS, AuditView
from rbac.audit_serializers import AuditExportSerializer
from tenants import limits, locks
from tenants.door import requires
from tenants.http.problems import Problem

# A file holds a web thread for as long as it is read, and leaves an event that nobody can delete.
PER_HOUR: Final = 10
ROWS: Final = 100_000
SECONDS: Final = 60.0
HOUR: Final = 3600
_RETRY: Final = {"audit_export_limit": HOUR // PER_HOUR, "audit_export_running": 30}


class _AsAsked(BaseContentNegotiation):
    """`format` is ours, not REST framework's; the answer is what it says, whatever Accept does."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return next(iter(parsers), None)


class AuditExportView(AuditView):
    """The filtered trail as a file, streamed. Exporting is itself an event: `audit_exported`."""

    content_negotiation_class = _AsAsked

    @extend_schema(
        operation_id="exportAudit",
        summary="Download the events",
        parameters=[
            OpenApiParameter("format", str, enum=sorted(export.FORMATS), default="json"),
            OpenApiParameter(
                "verify", bool, description="Adds `verified` to each event: true, false, or null."
            ),
            *FILTERS,
            OpenApiParameter(
                "X-Truncated",
                str,
                OpenApiParameter.HEADER,
                response=[200],
                description="`true` when more events fit than one file holds, and it ends early.",
            ),
        ],
        responses={
            (200, "application/json"): AuditExportSerializer,
            (200, "text/csv"): OpenApiTypes.STR,
            409: None,
        },
        examples=[
            OpenApiExample(
                "A spreadsheet",
                value="time,action,actor\n2026-01-01T00:00:00Z,member_added,ann@example.com\n",
                media_type="text/csv",
            )
        ],
    )
    @requires("read", "audit_logs", capability="audit_logging")
    def get(self, request: Request) -> HttpResponseBase:
        """In CSV, cells that a spreadsheet would run as formulas begin with an apostrophe.

        An organisation gets 10 files an hour (429 `audit_export_limit`), one at a time (409
        `audit_export_running`). A file has the newest 100,000 of the events that fit, and what of
        them could be written in a minute. One that is not whole says so: JSON with `complete`
        false, CSV with a last line that begins with `# incomplete`. To go on, ask again with
        `endTime` a moment after the last event's time; ids tell what came twice.
        """
        query = self.knock.request.GET
        kind = str(query.get("format", "")).strip().lower() or "json"
        if kind not in export.FORMATS:
            raise Problem(400, "invalid_format", "format must be json or csv.")
        check = str(query.get("verify", "")).strip().lower()
        if check not in ("", "true", "false"):
            raise Problem(400, "invalid_verify", "verify must be true or false.")
        wanted = audit_query.from_api(query)
        columns = (*audit_shown.COLUMNS, "verified") if check == "true" else audit_shown.COLUMNS
        if self.knock.request.method == "HEAD":
            return _file(iter(()), kind, self.knock.known_organisation.label)
        with ExitStack() as stack:
            self._take_turn(stack)
            with audit_query.reading():
                newest = Event.objects.order_by("-id").values_list("pk", flat=True).first() or 0
                rows = wanted.rows(self.organisation_id).filter(pk__lte=newest)
                more = rows.order_by("-id").values_list("pk")[ROWS : ROWS + 1].exists()
            records = export.records(
                rows, audit_shown.record, check=check == "true", guard=audit_query.reading
            )
            bounded = export.Bounded(records, rows=ROWS, seconds=SECONDS)
            pieces = export.written(bounded, kind, columns)
            begun = list(islice(pieces, 2))  # a busy database is still answered with 503
            trail.record(
                action="audit_exported",
                actor=actor_of(self.knock),
                organisation=self.organisation_id,
                after={"format": kind, "filters": wanted.query},
            )
            stream = _Stream(begun, pieces, stack.pop_all())
        answer = _file(stream, kind, self.knock.known_organisation.label)
        if more:
            answer["X-Truncated"] = "true"
        return answer

    def _take_turn(self, stack: ExitStack) -> None:
        """The organisation's turn, which ends with `stack`. Raises Problem 409
        `audit_export_running`, 429 `audit_export_limit`."""
        organisation = str(self.organisation_id)
        if not stack.enter_context(locks.alone(f"audit-export:{organisation}")):
            raise Problem(
                409,
                "audit_export_running",
                "Another export of this organisation is under way. Try again when it has ended.",
            )
        if not limits.allow("audit-export", organisation, limit=PER_HOUR, seconds=HOUR):
            raise Problem(
                429,
                "audit_export_limit",
                f"This organisation had its {PER_HOUR} exports of this hour. Try again later.",
            )

    def handle_exception(self, exc: Exception) -> HttpResponse:  # type: ignore[override]
        """Who followed the page's link reads a page."""
        if not isinstance(exc, Problem) or exc.code not in _RETRY:
            return super().handle_exception(exc)
        self.knock.headers["Retry-After"] = str(_RETRY[exc.code])
        request = self.knock.request
        if self.knock.token is not None or "text/html" not in request.headers.get("Accept", ""):
            return super().handle_exception(exc)
        context = {"code": exc.code, "message": exc.title, "status": exc.status}
        return render(request, "tenants/refused.html", context, status=exc.status)


class _Stream:
    """The pieces of a file. The organisation's turn ends when they do, and when nobody reads on:
    servers close what they answer with, on the thread (so on the connection) that made it. Not a
    generator, for the reason that `locks.alone` gives."""

    def __init__(self, begun: list[str], rest: Iterator[str], turn: ExitStack) -> None:
        self._pieces, self._turn = chain(begun, rest), turn

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except BaseException:
            self._turn.close()
            raise

    def close(self) -> None:
        self._turn.close()


def _file(pieces: Iterable[str], kind: str, label: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(pieces, content_type=export.FORMATS[kind])
    name = f"audit-{label}-{timezone.now():%Y-%m-%d}.{kind}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "no-store"
    return answer
