"""What /metrics of the full product says (hosted-contract section 23).

Two sources: the counters of `tenants.metrics`, added up over the files of all processes, and
gauges about organisations, jobs and proofs, read from the database at the moment of the scrape, so
that they cannot be stale or wrong (H2, F77). Organisation ids are never labels (F72).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

# Imported for its counters: a process that has counted nothing must know them all the same.
import rbac.metrics  # noqa: F401
import tenants.metrics  # noqa: F401
from audit import sealing
from pulsecloud import figures, metric_files
from pulsecloud.drills import standing
from tenants.backups import keeping
from tenants.models import ReadinessRecord, Rollout
from tenants.rollout import stages
from tenants.upgrades import versions

logger = logging.getLogger(__name__)


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
            names = [str(file) for file in files]
            yield from MultiProcessCollector.merge(names)  # type: ignore[no-untyped-call]


class _Gauges:
    def collect(self) -> Iterator[Metric]:
        yield _gauge("pulse_hosted_mode", "1 while hosted mode is on.", float(settings.HOSTED_MODE))
        try:
            now = figures.read()
            proof = ReadinessRecord.objects.filter(kind="prove").order_by("-started_at").first()
            drilled = {name: standing.last(name) for name in standing.NAMES}
            rollout = stages.row()
            schemas, behind = versions.count()
            backup_age = keeping.oldest_age()
        except DatabaseError:
            logger.warning("metrics: the database gave no gauges", exc_info=True)
            yield _gauge("pulse_hosted_database_up", "1 while the database answers.", 0)
            return
        yield _gauge("pulse_hosted_database_up", "1 while the database answers.", 1)
        yield from _families(now)
        yield from _trail(now.trail)
        yield from _proof(proof)
        yield from _rollout(rollout)
        yield from _drills(drilled)
        yield _gauge("pulse_hosted_schemas", "Organisations' schemas in this database.", schemas)
        yield _gauge(
            "pulse_hosted_schemas_behind",
            "Those that lack a migration of the code that runs.",
            behind,
        )
        if backup_age is not None:
            yield _gauge(
                "pulse_hosted_backup_age_seconds",
                "Age of the newest backup of the active organisation whose newest is the oldest.",
                backup_age,
            )


def _families(now: figures.Figures) -> Iterator[Metric]:
    yield _gauge(
        "pulse_hosted_active_tenants", "Active organisations, canaries left out.", now.active
    )
    by_state = GaugeMetricFamily(
        "pulse_hosted_organisations",
        "Organisations by state, canaries left out.",
        labels=["state"],
    )
    for state, count in now.organisations.items():
        by_state.add_metric([state], count)
    yield by_state
    yield _gauge(
        "pulse_hosted_active_without_registration",
        "Active organisations that no phone can reach: they have no relay registration.",
        now.unregistered,
    )
    yield _gauge(
        "pulse_hosted_builtin_tenants",
        "Active organisations that the built-in runtime serves.",
        now.builtin,
    )
    yield _gauge(
        "pulse_hosted_connected_tenants",
        "Those of them that are connected to the relay.",
        now.connected,
    )
    by_status = GaugeMetricFamily(
        "pulse_hosted_jobs", "Jobs waiting, running and failed.", labels=["status"]
    )
    for status, count in now.jobs.items():
        by_status.add_metric([status], count)
    yield by_status
    yield _gauge(
        "pulse_hosted_job_wait_seconds",
        "How long the oldest due job has been waiting for a worker.",
        now.job_wait,
    )
    yield _gauge(
        "pulse_rbac_managers_active",
        "Organisations that have their store of roles, canaries included.",
        now.role_stores,
    )
    yield _gauge("pulse_hosted_mail_failed", "Mails that could not be sent.", now.mail_failed)
    yield _gauge(
        "pulse_hosted_mail_wait_seconds",
        "How long the oldest mail has been waiting that is still to be sent.",
        now.mail_wait,
    )
    yield _gauge("pulse_hosted_worker_up", "1 while a worker answers.", float(now.workers > 0))


def _trail(backlog: sealing.Backlog) -> Iterator[Metric]:
    """`last_sealed` is absent until the first seal."""
    now = timezone.now()
    yield _gauge(
        "pulsecloud_audit_unsealed_events",
        f"Audit events that wait to be sealed; {sealing.COUNTED} stands for more.",
        backlog.unsealed,
    )
    yield _gauge(
        "pulsecloud_audit_unsealed_seconds",
        "How long the oldest of them has been waiting.",
        (now - backlog.oldest).total_seconds() if backlog.oldest else 0.0,
    )
    if backlog.last_sealed_at is not None:
        yield _gauge(
            "pulsecloud_audit_last_sealed_seconds",
            "Seconds since the last seal; grows while nothing happens, too.",
            (now - backlog.last_sealed_at).total_seconds(),
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


def _drills(records: dict[str, ReadinessRecord | None]) -> Iterator[Metric]:
    """Each kind is absent until its first drills, so that an alert can tell `never` from `failed`."""
    passed = GaugeMetricFamily(
        "pulse_hosted_drill_passed", "1 when the last drills of this kind passed.", labels=["kind"]
    )
    age = GaugeMetricFamily(
        "pulse_hosted_drill_age_seconds",
        "Seconds since the last drills of this kind began.",
        labels=["kind"],
    )
    for kind, record in records.items():
        if record is not None:
            passed.add_metric([kind], float(record.passed))
            age.add_metric([kind], (timezone.now() - record.started_at).total_seconds())
    yield from (passed, age)


def _rollout(rollout: Rollout) -> Iterator[Metric]:
    yield _gauge(
        "pulse_hosted_rollout_stage",
        "0 dev, 1 private beta, 2 public beta, 3 general availability.",
        stages.number(rollout.stage),
    )
    yield _gauge(
        "pulse_hosted_signups_stopped",
        "1 while staff have stopped sign-ups.",
        float(rollout.signups_stopped_at is not None),
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
