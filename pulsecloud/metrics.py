"""What /metrics of the full product says (hosted-contract section 23).

Two sources: the counters of `tenants.metrics`, added up over the files of all processes, and
gauges about organisations, jobs and proofs, read from the database at the moment of the scrape, so
that they cannot be stale or wrong (H2, F77). Organisation ids are never labels (F72).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from pulsecloud import metric_files
from tenants import metrics as counters  # defines the counters, also in a process that counts none
from tenants.models import ReadinessRecord, State

logger = logging.getLogger(__name__)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# A runtime says so every 15 s; one that was silent for this long is not connected (R).
STATUS_STALE: Final = "45 seconds"
# A scrape must never hold a web thread for long.
STATEMENT_TIMEOUT_MS: Final = 3000

# One round trip. Canaries are left out: they come and go with every proof.
_SQL: Final = """
SELECT 'organisations', o.state::text, count(*)::float8
  FROM tenants_organisation o WHERE NOT o.canary GROUP BY o.state
UNION ALL
SELECT 'unregistered', '', count(*)
  FROM tenants_organisation o
 WHERE o.state = 'active' AND NOT o.canary
   AND NOT EXISTS (SELECT 1 FROM relay_registration r WHERE r.organisation_id = o.id)
UNION ALL
SELECT 'connected', '', count(*)
  FROM relay_relaystatus s JOIN tenants_organisation o ON o.id = s.organisation_id
 WHERE s.connected AND o.state = 'active' AND NOT o.canary
   AND s.seen_at > now() - %s::interval
UNION ALL
SELECT 'jobs', j.status::text, count(*)
  FROM procrastinate_jobs j WHERE j.status IN ('todo', 'doing', 'failed') GROUP BY j.status
UNION ALL
SELECT 'job_age', '', coalesce(extract(epoch FROM now() - min(due)), 0)
  FROM (SELECT coalesce(j.scheduled_at, min(e.at)) AS due
          FROM procrastinate_jobs j JOIN procrastinate_events e ON e.job_id = j.id
         WHERE j.status = 'todo' GROUP BY j.id) waiting
 WHERE due <= now()
UNION ALL
SELECT 'mail_failed', '', count(*)
  FROM tenants_outboxmail m WHERE m.sent_at IS NULL AND m.error <> ''
"""


def collect() -> bytes:
    """The scrape, in Prometheus' text format. Never raises for a database that is away."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Counters(Path(settings.METRICS_DIR)))
    registry.register(_Gauges())
    return generate_latest(registry)


class _Counters:
    """All processes' counter files, those of dead processes folded into one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def collect(self) -> Iterator[Metric]:
        with metric_files.reading(self.directory) as files:
            yield from MultiProcessCollector.merge([str(file) for file in files])


class _Gauges:
    def collect(self) -> Iterator[Metric]:
        yield _gauge("pulse_hosted_mode", "1 while hosted mode is on.", float(settings.HOSTED_MODE))
        try:
            with transaction.atomic():
                rows = _read()
                proof = ReadinessRecord.objects.order_by("-started_at").first()
        except DatabaseError:
            logger.warning("metrics: the database gave no gauges", exc_info=True)
            yield _gauge("pulse_hosted_database_up", "1 while the database answers.", 0)
            return
        yield _gauge("pulse_hosted_database_up", "1 while the database answers.", 1)
        yield from _families(rows)
        yield from _proof(proof)


def _read() -> dict[str, dict[str, float]]:
    """{question: {label: value}} of the one query."""
    rows: dict[str, dict[str, float]] = {}
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
        cursor.execute(_SQL, [STATUS_STALE])
        for question, label, value in cursor.fetchall():
            rows.setdefault(question, {})[label] = float(value)
    return rows


def _families(rows: dict[str, dict[str, float]]) -> Iterator[Metric]:
    states = rows.get("organisations", {})
    yield _gauge(
        "pulse_hosted_active_tenants",
        "Active organisations, canaries left out.",
        states.get(State.ACTIVE, 0),
    )
    yield _gauge_by("pulse_hosted_organisations", "Organisations by state, canaries left out.",
                    "state", {state: states.get(state, 0) for state in State.values})  # fmt: skip
    yield _gauge(
        "pulse_hosted_active_without_registration",
        "Active organisations that no phone can reach: they have no relay registration.",
        rows["unregistered"][""],
    )
    yield _gauge(
        "pulse_hosted_connected_tenants",
        "Active organisations whose built-in runtime is connected to the relay.",
        rows["connected"][""],
    )
    jobs = rows.get("jobs", {})
    yield _gauge_by("pulse_hosted_jobs", "Jobs waiting, running and failed.", "status",
                    {status: jobs.get(status, 0) for status in ("todo", "doing", "failed")})  # fmt: skip
    yield _gauge(
        "pulse_hosted_job_wait_seconds",
        "How long the oldest due job has been waiting for a worker.",
        max(0.0, rows["job_age"][""]),
    )
    yield _gauge(
        "pulse_hosted_mail_failed", "Mails that could not be sent.", rows["mail_failed"][""]
    )


def _proof(record: ReadinessRecord | None) -> Iterator[Metric]:
    """Absent until the first proof, so that an alert can tell `never` from `failed`."""
    if record is None:
        return
    yield _gauge("pulse_hosted_proof_passed", "1 when the last proof passed.", float(record.passed))
    yield _gauge(
        "pulse_hosted_proof_age_seconds",
        "Seconds since the last proof began.",
        (timezone.now() - record.started_at).total_seconds(),
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _gauge_by(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for name_of_value, value in values.items():
        family.add_metric([name_of_value], value)
    return family


__all__ = ["CONTENT_TYPE", "collect", "counters"]
