"""What has to be true before the processes start; each step does nothing when it already is."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
import socket
import time
from pathlib import Path
from typing import IO

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connection

from audit.actors import Actor
from pulsecloud import health
from pulsecloud.processes import alive
from relay import registration
from tenants import schema_template
from tenants.upgrades import running
from tenants.upgrades.rendering import BrokenMigration


class CannotStart(Exception):
    """The product cannot start; the message says why and what to do."""


def lock(data_dir: Path) -> IO[str]:
    """One supervisor per data directory. Keep the answer open for as long as the lock shall hold."""
    data_dir.mkdir(parents=True, exist_ok=True)
    file = (data_dir / "up.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise CannotStart(
            f"PulseCloud already runs on {data_dir} (process {holder}). Stop it first, or give this "
            "one a data directory of its own with PULSECLOUD_DATA_DIR."
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def wait_for_leftovers(state: Path, *, seconds: float = 20.0) -> None:
    """After a kill -9 of a supervisor its processes take a moment to end, and hold ports meanwhile."""
    try:
        pids = [int(pid) for pid in json.loads(state.read_text(encoding="utf-8")).values()]
    except (OSError, ValueError, AttributeError, TypeError):
        return
    deadline = time.monotonic() + seconds
    while any(pid != os.getpid() and alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)


def check_port(variable: str, address: tuple[str, int]) -> None:
    """Raises CannotStart, naming the variable, when nothing can listen there."""
    host, port = address
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(found[0], found[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found[4])
            probe.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"{shown} is taken by another program. Choose another address with {variable}, "
                f"such as {variable}={host}:{port + 10}."
            ) from None
        raise CannotStart(f"{variable}={shown} cannot be used: {error.strerror}.") from None


def refuse_published_secrets() -> None:
    """Raises CannotStart when a secret is the one that ops/production.env.example shows everybody."""
    example = settings.BASE_DIR / "ops" / "production.env.example"
    published = {
        line.split("=", 1)[1].strip()
        for line in (example.read_text(encoding="utf-8").splitlines() if example.exists() else [])
        if "=" in line and not line.startswith("#")
    }
    for name, value in (
        ("SECRET_KEY", settings.SECRET_KEY),
        ("PULSECLOUD_ENCRYPTION_KEY", settings.ENCRYPTION_KEY),
        ("METRICS_TOKEN", settings.METRICS_TOKEN),
        ("DATABASE_URL", settings.DATABASE_URL),
        ("EMAIL_URL", settings.EMAIL_URL),
    ):
        if value in published:
            raise CannotStart(
                f"{name} is the example that everybody can read in {example.name}: make your own."
            )


def database_answers(*, seconds: float = 30.0) -> None:
    """Waits for the server of DATABASE_URL."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.ensure_connection()
            return
        except OperationalError as error:
            if time.monotonic() > deadline:
                reason = str(error).strip().splitlines()[-1]
                raise CannotStart(f"The server of DATABASE_URL does not answer: {reason}") from None
            time.sleep(0.5)


def migrate() -> str:
    """Applies migrations of the public schema; says what it did."""
    missing = health.missing_migrations()
    if not missing:
        return "nothing to do"
    call_command("migrate_schemas", shared=True, verbosity=0, interactive=False)
    return f"{len(missing)} applied"


def prepare_schemas() -> str:
    """Brings every organisation's tables up to date; says what it did.

    One organisation whose tables cannot be migrated does not keep all others down: `/readyz` warns
    of it. A migration that works nowhere does, before it touched anybody's tables.
    """
    try:
        with schema_template.alone():
            report = running.upgrade(look=True)
            made = schema_template.prepare()
    except (BrokenMigration, schema_template.TemplateError, running.DatabaseGone) as error:
        raise CannotStart(f"The organisations' tables cannot be migrated: {error}") from None
    count = report.migrated
    said = f"{count} schema{'' if count == 1 else 's'} migrated; "
    if report.stragglers:
        said += f"{len(report.stragglers)} FAILED, see `manage.py migrate_orgs`; "
    return f"{said}the template was {'made' if made else 'there already'}"


def collect_static() -> str:
    """Copies and compresses static files, when any of them changed; says what it did."""
    root = Path(settings.STATIC_ROOT)
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            found = Path(storage.path(path)).stat()
            digest.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    stamp, now = root / ".collected", digest.hexdigest()
    if stamp.exists() and stamp.read_text(encoding="ascii") == now:
        return "nothing to do"
    call_command("collectstatic", verbosity=0, interactive=False, stdout=io.StringIO())
    stamp.write_text(now, encoding="ascii")
    return "collected"


def ensure_keys() -> str:
    """Makes the lease signing key and, in development, the key file that the relay reads."""
    call_command("keys", "ensure", stdout=io.StringIO())
    return ""


def register_missing() -> str:
    """Mends what system check E033 finds; says whom it registered."""
    labels = registration.register_missing(actor=Actor.system("up"), reason="up --register-missing")
    return ", ".join(labels) or "none was missing"


def check() -> str:
    """Runs the system checks, those of the database included; errors stop the start."""
    try:
        call_command(
            "check", databases=["default"], deploy=settings.PRODUCTION, stdout=io.StringIO()
        )
    except SystemCheckError as error:
        raise CannotStart(str(error).strip()) from None
    return ""


def empty_metrics() -> str:
    """Values of processes that no longer exist must not be counted on (F72)."""
    shutil.rmtree(settings.METRICS_DIR, ignore_errors=True)
    settings.METRICS_DIR.mkdir(parents=True)
    return ""
