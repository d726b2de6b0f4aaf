"""Health of the web process: /livez, /readyz and /metrics, on any host and before everything else."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from pulsecloud import outages

# `manage.py worker` writes a heartbeat every second. A busy machine delays some; not as many as this.
HEARTBEAT_SECONDS = 30


class HealthMiddleware:
    """Answers the three paths itself: no host check, no session, no tenant (F73)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = _PATHS.get(request.path_info)
        return answer(request) if answer else self.get_response(request)


def livez(request: HttpRequest) -> HttpResponse:
    """200 as long as the process runs; a supervisor restarts on anything else."""
    return JsonResponse({"status": "alive", "version": settings.VERSION})


def readyz(request: HttpRequest) -> HttpResponse:
    """200, or 503 with the facts that block: {"status", "blocking": [{"fact", "detail"}]}.

    `warnings` are of the same form; they need a person, and stop nobody.
    """
    blocking = blocking_facts()
    warnings = [] if blocking else warning_facts()
    return JsonResponse(
        {
            "status": "not ready" if blocking else "ready",
            "version": settings.VERSION,
            "blocking": [{"fact": fact, "detail": detail} for fact, detail in blocking],
            "warnings": [{"fact": fact, "detail": detail} for fact, detail in warnings],
        },
        status=503 if blocking else 200,
    )


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text, for loopback or with the bearer token; plain 404 for everybody else."""
    if not may_read_metrics(request):
        return HttpResponse("Not Found", status=404, content_type="text/plain")
    from pulsecloud import metrics as exposition

    return HttpResponse(
        exposition.collect(), content_type="text/plain; version=0.0.4; charset=utf-8"
    )


_PATHS: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/livez": livez,
    "/readyz": readyz,
    "/metrics": metrics,
}


def may_read_metrics(request: HttpRequest) -> bool:
    """The bearer token, or a direct loopback peer; a proxy on loopback forwards strangers."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme.lower() == "bearer":
        return hmac.compare_digest(given.strip().encode(), settings.METRICS_TOKEN.encode())
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def blocking_facts() -> list[tuple[str, str]]:
    """What keeps the web process from being ready: pairs of stable code and sentence."""
    facts = []
    if not entitlement_key_configured():
        facts.append(
            (
                "entitlement_key_missing",
                "No key is configured that leases are verified with "
                "(PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY).",
            )
        )
    try:
        missing = missing_migrations()
        if missing:
            facts.append(("migrations_pending", f"{len(missing)} migrations are not applied."))
        elif not worker_alive():
            facts.append(("worker_silent", f"No worker has answered for {HEARTBEAT_SECONDS} s."))
    except DatabaseError:
        connection.close()
        facts.append(("database_unreachable", outages.database()))
    return facts


def warning_facts() -> list[tuple[str, str]]:
    """What is wrong and keeps nobody from working: pairs of stable code and sentence."""
    from audit import sealing  # models: this module is imported before applications are ready
    from tenants.upgrades import versions

    facts: list[tuple[str, str]] = []
    try:
        backlog = sealing.backlog()
        there, behind = versions.count()
        facts += outages.late()
    except DatabaseError:
        connection.close()
        return []
    if backlog.stuck:
        facts.append(
            (
                "audit_unsealed",
                f"Audit events have been waiting to be sealed since {backlog.oldest:%Y-%m-%d %H:%M} "
                "UTC. Run `manage.py audit seal`; it says why.",
            )
        )
    if behind:
        facts.append(
            (
                "schemas_behind",
                f"The tables of {behind} organisations are not migrated to this release. Run "
                "`manage.py migrate_orgs`; it says why.",
            )
        )
    if there >= versions.WARN_AT:
        facts.append(
            (
                "schemas_many",
                f"This database holds {there} schemas; from {versions.CEILING:,} on it is in danger. "
                "Plan a second one: docs/scaling.md says how.",
            )
        )
    return facts


def entitlement_key_configured() -> bool:
    """Whether there is any key for leases, in the environment or in the file it names (F79)."""
    if settings.RELAY_ENTITLEMENT_PUBLIC_KEY.strip():
        return True
    name = settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE
    try:
        return bool(name) and bool(Path(name).read_text(encoding="utf-8").strip())
    except OSError:
        return False


_wanted: set[tuple[str, str]] = set()


def missing_migrations() -> set[tuple[str, str]]:
    """Migrations of the public schema that exist on disk and are not applied: {(app, name)}."""
    if not _wanted:
        shared = {apps.get_app_config(label).label for label in _shared_labels()}
        loader = MigrationLoader(None, ignore_no_migrations=True)
        _wanted.update(key for key in loader.disk_migrations or {} if key[0] in shared)
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('public.django_migrations') IS NOT NULL")
        row = cursor.fetchone()
        if row is None or not row[0]:
            return set(_wanted)
        cursor.execute("SELECT app, name FROM public.django_migrations")
        return _wanted - set(cursor.fetchall())


def _shared_labels() -> list[str]:
    return [c.label for c in apps.get_app_configs() if c.name in settings.SHARED_APPS]


def worker_alive() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM public.procrastinate_workers"
            " WHERE last_heartbeat > now() - make_interval(secs => %s))",
            [HEARTBEAT_SECONDS],
        )
        row = cursor.fetchone()
        return bool(row and row[0])
