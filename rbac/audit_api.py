"""The organisation's audit API (hosted-contract section 24).

`GET /api/audit`, `/api/audit/<id>/verify`, `/api/audit/summary`, `/api/audit/export`. Each event of the
organisation and no other one; who sees them: `audit_shown`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Exists, Max, Min, OuterRef, Q
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from audit import export, verify
from audit.models import Event, SealedEvent
from rbac import audit_query, audit_shown
from rbac.audit_serializers import (
    AuditPageSerializer,
    AuditSummarySerializer,
    AuditVerifySerializer,
)
from tenants.door import Refused, TenantAPIView, requires
from tenants.http import listing
from tenants.http.problems import Problem

SUMMARY_SPAN: Final = timedelta(days=30)
MOST_NAMED: Final = 50  # of events and people in a summary

_SPAN = [
    OpenApiParameter("startTime", OpenApiTypes.DATETIME, description="From this time on."),
    OpenApiParameter("endTime", OpenApiTypes.DATETIME, description="Before this time."),
]
FILTERS = [
    OpenApiParameter("event", str, description="The name of an event, such as `token_issued`."),
    OpenApiParameter("user", str, description="Part of who did it, as `user` shows it, or an id."),
    OpenApiParameter("success", bool, description="Only what succeeded, or only what was refused."),
    *_SPAN,
]
_PAGE = [
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": listing.MOST, "default": listing.LIMIT},
        description="How many of them to answer.",
    ),
    OpenApiParameter(
        "offset",
        {"type": "integer", "minimum": 0, "maximum": 10**9, "default": 0},
        description="How many of them to skip.",
    ),
]
_EVENT: dict[str, Any] = {
    "id": "0f6f1c1e-8f0c-4d0e-9a3f-9f3f3c0a7b55",
    "timestamp": "2026-03-02T09:00:00.123Z",
    "event": "token_issued",
    "user": "ann@example.com",
    "ip": "192.0.2.7",
    "path": "/api/security/tokens",
    "success": True,
    "details": "token 5b0f4a52-6f0e-4bbd-9f8a-2f1d5f0b7c11",
    "actor": "person",
    "subject": "token 5b0f4a52-6f0e-4bbd-9f8a-2f1d5f0b7c11",
    "reason": "",
    "before": None,
    "after": {"name": "Nightly report", "scopes": ["settings:read"]},
    "requestId": "3f0b6a0f0c7f4e1d8c1b2a3f4e5d6c7b",
    "seal": 12,
    "signature": "ed25519:" + "0c" * 16 + ":" + "7e" * 64,
}


class AuditView(TenantAPIView):
    by_contract = True

    def refusal(self, refused: Refused) -> HttpResponse:
        answer = super().refusal(refused)
        if refused.status == 503:
            answer["Retry-After"] = str(audit_query.RETRY_SECONDS)
        return answer

    @property
    def organisation_id(self) -> UUID:
        return self.knock.known_organisation.pk


class AuditListView(AuditView):
    """What happened in the organisation, newest first."""

    @extend_schema(
        operation_id="listAuditEvents",
        summary="What happened, newest first",
        parameters=[*FILTERS, *_PAGE],
        responses=AuditPageSerializer,
        examples=[
            OpenApiExample(
                "One event",
                value={"events": [_EVENT], "total": 1, "persistentLogging": True},
                response_only=True,
            )
        ],
    )
    @requires("read", "audit_logs", capability="audit_logging")
    def get(self, request: Request) -> Response:
        query = self.knock.request.GET
        limit = listing.whole(query, "limit", listing.LIMIT, least=1, most=listing.MOST)
        offset = listing.whole(query, "offset", 0)
        rows = audit_query.from_api(query).rows(self.organisation_id)
        with audit_query.reading():
            total = rows.count()
            page = list(rows.order_by("-id")[offset : offset + limit])
            seals = export.seals_of(event.pk for event in page)
        events = [audit_shown.record(event, seals.get(event.pk)) for event in page]
        return Response({"events": events, "total": total, "persistentLogging": True})


class AuditVerifyView(AuditView):
    """Whether one event is as it was recorded."""

    @extend_schema(
        operation_id="verifyAuditEvent",
        summary="Check that an event is as it was recorded",
        responses=AuditVerifySerializer,
        examples=[
            OpenApiExample(
                "As it was",
                value={
                    "available": True,
                    "verified": True,
                    "message": "The event is as it was recorded (seal 12).",
                    "seal": 12,
                },
                response_only=True,
            )
        ],
    )
    @requires("read", "audit_logs", capability="audit_logging")
    def get(self, request: Request, event_id: UUID) -> Response:
        with audit_query.reading():
            event = Event.objects.filter(organisation=self.organisation_id, uuid=event_id).first()
            if event is None:
                raise Problem(404, "not_found", "There is no such event.")
            available, verified, message, seal = verdict(event)
        return Response(
            {"available": available, "verified": verified, "message": message, "seal": seal}
        )


class AuditSummaryView(AuditView):
    """How much of what happened, and by whom; of the last 30 days unless told otherwise."""

    @extend_schema(
        operation_id="summariseAudit",
        summary="How much of what happened",
        parameters=_SPAN,
        responses=AuditSummarySerializer,
        examples=[
            OpenApiExample(
                "A quiet month",
                value={
                    "startTime": "2026-02-01T00:00:00.000Z",
                    "endTime": "2026-03-03T00:00:00.000Z",
                    "total": 3,
                    "succeeded": 2,
                    "failed": 1,
                    "unsealed": 0,
                    "firstAt": "2026-02-11T08:30:00.000Z",
                    "lastAt": "2026-03-02T09:00:00.123Z",
                    "byEvent": [
                        {"event": "token_issued", "count": 2},
                        {"event": "sign_in_failed", "count": 1},
                    ],
                    "byUser": [{"user": "ann@example.com", "count": 3}],
                },
                response_only=True,
            )
        ],
    )
    @requires("read", "audit_logs", capability="audit_logging")
    def get(self, request: Request) -> Response:
        wanted = audit_query.from_api(self.knock.request.GET)
        end = wanted.end or timezone.now()
        start = wanted.start or end - SUMMARY_SPAN
        span = audit_query.Wanted(start=start, end=end)
        rows = span.rows(self.organisation_id).order_by()
        sealed = SealedEvent.objects.filter(event=OuterRef("pk"))
        with audit_query.reading():
            figures = rows.aggregate(
                total=Count("pk"),
                failed=Count("pk", filter=Q(success=False)),
                unsealed=Count("pk", filter=~Q(Exists(sealed))),
                first=Min("at"),
                last=Max("at"),
            )
            events = rows.values("action").annotate(count=Count("pk"))
            by_event = list(events.order_by("-count", "action")[:MOST_NAMED])
            people = rows.values("actor_kind", "actor_id", "actor_label")
            by_user = list(people.annotate(count=Count("pk")).order_by("-count")[: MOST_NAMED * 4])
        return Response(
            {
                "startTime": audit_shown.time_text(start),
                "endTime": audit_shown.time_text(end),
                "total": figures["total"],
                "succeeded": figures["total"] - figures["failed"],
                "failed": figures["failed"],
                "unsealed": figures["unsealed"],
                "firstAt": figures["first"] and audit_shown.time_text(figures["first"]),
                "lastAt": figures["last"] and audit_shown.time_text(figures["last"]),
                "byEvent": [{"event": row["action"], "count": row["count"]} for row in by_event],
                "byUser": _by_shown_name(by_user),
            }
        )


def verdict(event: Event) -> tuple[bool, bool, str, int | None]:
    """(available, verified, message, number of its seal)."""
    place = SealedEvent.objects.filter(event=event.pk).first()
    if place is None:
        return False, False, "The event is not sealed yet; that takes a minute or so.", None
    _, findings = verify.event(event.pk)
    if findings:
        return True, False, " ".join(finding.message for finding in findings), place.batch
    return True, True, f"The event is as it was recorded (seal {place.batch}).", place.batch


def _by_shown_name(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Counts by the name that the organisation sees; all of staff is one."""
    counts: dict[str, int] = {}
    for row in rows:
        named = {name: value for name, value in row.items() if name != "count"}
        name = audit_shown.user_of(Event(**named))
        counts[name] = counts.get(name, 0) + row["count"]
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:MOST_NAMED]
    return [{"user": name, "count": count} for name, count in ordered]
