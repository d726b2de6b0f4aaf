"""Figures about the whole platform, read in few round trips: for /metrics and the staff home page.

Canaries are left out, as they come and go with every proof, except where schemas are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection, transaction

from audit import sealing
from pulsecloud.health import HEARTBEAT_SECONDS
from relay.status import STALE_AFTER
from tenants.models import State

# Neither a scrape nor a page may hold a web thread for long.
STATEMENT_TIMEOUT_MS: Final = 3000

_SQL: Final = """
SELECT 'organisations', o.state::text, count(*)::float8
  FROM tenants_organisation o WHERE NOT o.canary GROUP BY o.state
UNION ALL
SELECT 'unregistered', '', count(*)
  FROM tenants_organisation o
 WHERE o.state = 'active' AND NOT o.canary
   AND NOT EXISTS (SELECT 1 FROM relay_registration r WHERE r.organisation_id = o.id)
UNION ALL
SELECT 'builtin', '', count(*)
  FROM tenants_organisation o
 WHERE o.state = 'active' AND NOT o.canary AND o.runtime = 'builtin'
UNION ALL
SELECT 'connected', '', count(*)
  FROM relay_relaystatus s JOIN tenants_organisation o ON o.id = s.organisation_id
 WHERE s.connected AND o.state = 'active' AND NOT o.canary AND o.runtime = 'builtin'
   AND s.seen_at > now() - %(stale)s
UNION ALL
SELECT 'phones', '', coalesce(sum(s.active_channels), 0)
  FROM relay_relaystatus s JOIN tenants_organisation o ON o.id = s.organisation_id
 WHERE s.connected AND o.state = 'active' AND NOT o.canary AND s.seen_at > now() - %(stale)s
UNION ALL
SELECT 'requested_today', '', count(*)
  FROM tenants_organisation o
 WHERE NOT o.canary AND o.created_at >= date_trunc('day', now(), 'UTC')
UNION ALL
SELECT 'provisioned_today', '', count(*)
  FROM tenants_organisation o
 WHERE NOT o.canary AND o.provisioned_at >= date_trunc('day', now(), 'UTC')
UNION ALL
SELECT 'jobs', j.status::text, count(*)
  FROM procrastinate_jobs j WHERE j.status IN ('todo', 'doing', 'failed') GROUP BY j.status
UNION ALL
SELECT 'job_wait', '', coalesce(extract(epoch FROM now() - min(due)), 0)
  FROM (SELECT coalesce(j.scheduled_at, min(e.at)) AS due
          FROM procrastinate_jobs j JOIN procrastinate_events e ON e.job_id = j.id
         WHERE j.status = 'todo' GROUP BY j.id) waiting
 WHERE due <= now()
UNION ALL
SELECT 'role_stores', '', count(*)
  FROM tenants_organisation o JOIN pg_namespace n ON n.nspname = o.schema_name
UNION ALL
SELECT 'mail_failed', '', count(*)
  FROM tenants_outboxmail m WHERE m.sent_at IS NULL AND m.error <> ''
UNION ALL
SELECT 'mail_wait', '', coalesce(extract(epoch FROM now() - min(m.created_at)), 0)
  FROM tenants_outboxmail m WHERE m.sent_at IS NULL AND m.body <> ''
UNION ALL
SELECT 'workers', '', count(*)
  FROM procrastinate_workers w WHERE w.last_heartbeat > now() - make_interval(secs => %(silent)s)
"""


@dataclass(frozen=True)
class Figures:
    """Counts of organisations, except `phones` (channels), `jobs`, `job_wait` (seconds), `mail_failed`.

    `mail_wait` is how long the oldest mail waits that is still to be sent (seconds); `workers` are
    those that answered lately.

    `builtin` are active organisations that the built-in runtime serves; `connected` of them are
    connected to the relay, as the runtime said within the last 45 s. `role_stores` are schemas of
    organisations, canaries' among them.
    """

    organisations: dict[str, int]
    unregistered: int
    builtin: int
    connected: int
    phones: int
    requested_today: int
    provisioned_today: int
    jobs: dict[str, int]
    job_wait: float
    role_stores: int
    mail_failed: int
    mail_wait: float
    workers: int
    trail: sealing.Backlog

    @property
    def active(self) -> int:
        return self.organisations[State.ACTIVE]


def read() -> Figures:
    """Raises django.db.DatabaseError when the database is away or slow."""
    rows: dict[str, dict[str, float]] = {}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
        parameters: dict[str, Any] = {"stale": STALE_AFTER, "silent": HEARTBEAT_SECONDS}
        cursor.execute(_SQL, parameters)
        for question, label, value in cursor.fetchall():
            rows.setdefault(question, {})[label] = float(value)
        trail = sealing.backlog()
    states, jobs = rows.get("organisations", {}), rows.get("jobs", {})
    return Figures(
        organisations={state: int(states.get(state, 0)) for state in State.values},
        unregistered=int(rows["unregistered"][""]),
        builtin=int(rows["builtin"][""]),
        connected=int(rows["connected"][""]),
        phones=int(rows["phones"][""]),
        requested_today=int(rows["requested_today"][""]),
        provisioned_today=int(rows["provisioned_today"][""]),
        jobs={status: int(jobs.get(status, 0)) for status in ("todo", "doing", "failed")},
        job_wait=max(0.0, rows["job_wait"].get("", 0.0)),
        role_stores=int(rows["role_stores"][""]),
        mail_failed=int(rows["mail_failed"][""]),
        mail_wait=max(0.0, rows["mail_wait"][""]),
        workers=int(rows["workers"][""]),
        trail=trail,
    )
