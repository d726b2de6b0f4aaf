"""The organisation's audit trail as a file (hosted-contract section 24): JSON or CSV, streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
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
from tenants.door import requires
from tenants.problems import Problem


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
        ],
        responses={
            (200, "application/json"): AuditExportSerializer,
            (200, "text/csv"): OpenApiTypes.STR,
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
        """In CSV, cells that a spreadsheet would run as formulas begin with an apostrophe."""
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
        with audit_query.reading():
            newest = Event.objects.order_by("-id").values_list("pk", flat=True).first() or 0
        rows = wanted.rows(self.organisation_id).filter(pk__lte=newest)
        records = export.records(
            rows, audit_shown.record, check=check == "true", guard=audit_query.reading
        )
        pieces = export.written(records, kind, columns)
        begun = list(islice(pieces, 2))  # a busy database is still answered with 503
        trail.record(
            action="audit_exported",
            actor=actor_of(self.knock),
            organisation=self.organisation_id,
            after={"format": kind, "filters": wanted.query},
        )
        return _file(chain(begun, pieces), kind, self.knock.known_organisation.label)


def _file(pieces: Iterator[str], kind: str, label: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(pieces, content_type=export.FORMATS[kind])
    name = f"audit-{label}-{timezone.now():%Y-%m-%d}.{kind}"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "no-store"
    return answer
