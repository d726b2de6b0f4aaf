"""Background jobs. A failed one can be run again; that is recorded like every verb."""

from __future__ import annotations

import json
from typing import Any, cast

from django.contrib import admin
from django.db import transaction
from django.db.models import Max, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinateJob
from procrastinate.exceptions import ConnectorException

from audit import trail
from audit.actors import Actor
from pulsecloud.staff import badges, filters
from pulsecloud.staff.base import StaffInline
from pulsecloud.staff.verbs import Verb, VerbAdmin, VerbRefused
from pulsecloud.staff.words import DASH, ago, code

# Its library's name for it, in the header and in every question, says nothing to staff. This is no
# option of the model, so no migration is asked for.
ProcrastinateJob._meta.verbose_name = "job"
ProcrastinateJob._meta.verbose_name_plural = "jobs"

TONES = {
    "todo": badges.CALM,
    "doing": badges.CALM,
    "succeeded": badges.GOOD,
    "failed": badges.BAD,
    "cancelled": badges.QUIET,
    "aborted": badges.WARN,
}


def _run_again(job: ProcrastinateJob, actor: Actor, reason: str) -> None:
    try:
        with transaction.atomic():
            app.job_manager.retry_job_by_id(job.pk, timezone.now(), job.priority, job.queue_name)
            trail.record(
                action="job_run_again",
                actor=actor,
                subject=f"job {job.pk} {job.task_name}",
                reason=reason,
            )
    except ConnectorException as error:
        raise VerbRefused(
            "it cannot be queued now; it may be waiting or running already"
        ) from error


RUN_AGAIN = Verb(
    name="again",
    title="Run again",
    done="Queued again",
    permission="procrastinate.change_procrastinatejob",
    consequences=("The worker runs it at once, with the same arguments.",),
    unfit=lambda job: "" if job.status == "failed" else f"is {job.status}, not failed",
    run=_run_again,
    icon="replay",
)


class IsSomethingWrong(filters.Question):
    title = "is something wrong?"
    parameter_name = "wrong"

    def answers(self) -> dict[str, tuple[str, Q]]:
        return {
            "failed": ("failed", Q(status="failed")),
            "open": ("waiting or running", Q(status__in=["todo", "doing"])),
            "retried": ("needed more than one attempt", Q(attempts__gt=1)),
        }


class EventInline(StaffInline):
    model = ProcrastinateEvent
    verbose_name_plural = "what happened"
    ordering = ("at",)
    fields = readonly_fields = ("type", "when")

    @admin.display(description="when")
    def when(self, event: ProcrastinateEvent) -> str:
        return ago(event.at)


@admin.register(ProcrastinateJob)
class JobAdmin(VerbAdmin):
    list_display = ("number", "status_now", "task", "arguments", "attempts", "last")
    list_display_links = ("number",)
    list_filter = (IsSomethingWrong,)
    search_fields = ("task_name",)
    search_help_text = "Task, or a number of a job"
    ordering = ("-id",)
    inlines = (EventInline,)
    verbs = (RUN_AGAIN,)
    fields = readonly_fields = (
        "number",
        "status_now",
        "task",
        "arguments",
        "attempts",
        "queue_name",
        "scheduled",
        "waiting_lock",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The last event by sub-query: a join would multiply the jobs by their events."""
        events = ProcrastinateEvent.objects.filter(job=OuterRef("pk")).order_by().values("job")
        latest = events.annotate(latest=Max("at")).values("latest")
        jobs = super().get_queryset(request).annotate(last_event=Subquery(latest))
        return cast("QuerySet[Any]", jobs)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if search_term.strip().isdigit():
            return queryset.filter(pk=int(search_term.strip()[:18])), False
        return super().get_search_results(request, queryset, search_term)

    @admin.display(description="job", ordering="id")
    def number(self, job: ProcrastinateJob) -> str:
        return code(f"#{job.pk}")

    @admin.display(description="status", ordering="status")
    def status_now(self, job: ProcrastinateJob) -> str:
        return badges.badge(job.status, TONES.get(job.status, badges.QUIET))

    @admin.display(description="task", ordering="task_name")
    def task(self, job: ProcrastinateJob) -> str:
        return code(job.task_name)

    @admin.display(description="arguments")
    def arguments(self, job: ProcrastinateJob) -> str:
        text = ", ".join(f"{key}={json.dumps(value)}" for key, value in job.args.items())
        return code(text[:300], breaks=True)

    @admin.display(description="last event", ordering="last_event")
    def last(self, job: ProcrastinateJob) -> str:
        return ago(getattr(job, "last_event", None))

    @admin.display(description="runs from")
    def scheduled(self, job: ProcrastinateJob) -> str:
        return ago(job.scheduled_at)

    @admin.display(description="at most one waiting")
    def waiting_lock(self, job: ProcrastinateJob) -> str:
        return code(job.queueing_lock or "") or DASH
