"""The embedded PostgreSQL: one cluster per data directory, reached by unix socket and password.

The server is a foreground child of whoever calls `start`. The kernel sends it SIGINT (fast
shutdown) when that parent dies, so nothing outlives a kill -9. After a kill -9 of the server itself
its lock file and its last backends linger for a second or two, and PostgreSQL refuses to start
until they are gone: `start` tries again until it works. It never removes the lock file: the
lock file is what keeps two servers from one cluster.

A data directory has one caller of `start` at a time; the supervisor's lock sees to it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Any

import psycopg

from pulsecloud import keyfiles
from pulsecloud.postgres_place import (
    PostgresError,
    account,
    binaries,
    closed_to,
    make_directory,
    place,
    record,
)
from pulsecloud.processes import alive, die_with_parent

DATABASE = "pulsecloud"
USER = "pulsecloud"
PORT = "5432"  # only part of the socket's name; nothing listens on TCP

# Seconds to keep trying while leftovers of a killed server hold the lock; measured: up to 2.5.
PATIENCE = 20.0
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # Dropping or dumping a schema locks every table and index of it.
    "max_locks_per_transaction": "512",
    # Crash recovery with 2,000 schemas: 16.5 s with fsync of each file, 0.5 s with this.
    "recovery_init_sync_method": "syncfs",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and details hold values, and values are secrets and addresses.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_line_prefix": "%m [%p] ",
}


def password(data_dir: Path) -> str:
    """The password of the one role, made once in a 0600 file of the data directory."""
    return keyfiles.ensure(data_dir, "postgres_password", production=False)


def socket_dir(data_dir: Path) -> Path:
    """The directory of the socket; short enough for a socket address."""
    return place(data_dir).socket


def cluster_dir(data_dir: Path) -> Path:
    """PostgreSQL's own data directory."""
    return place(data_dir).cluster


_started: list[subprocess.Popen[bytes]] = []


class Server:
    """A running server, started by us or found running."""

    def __init__(self, pid: int, process: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self._process = process

    @property
    def found_running(self) -> bool:
        return self._process is None

    def running(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        return alive(self.pid)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within that time."""
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def stop(self, *, seconds: float = 30.0) -> None:
        """Fast shutdown: open transactions are rolled back. Harder when that takes too long."""
        for how, limit in (
            (signal.SIGINT, seconds),
            (signal.SIGQUIT, 10.0),
            (signal.SIGKILL, 10.0),
        ):
            if not self.running():
                return
            try:
                os.kill(self.pid, how)
            except ProcessLookupError:
                return
            if self.wait(limit):
                return
        raise PostgresError(f"PostgreSQL (process {self.pid}) does not stop.")


def start(data_dir: Path, *, log: Path | None = None, patience: float = PATIENCE) -> Server:
    """Starts the server (makes the cluster first when there is none) and waits until it answers.

    `log` receives the server's own messages; default <data directory>/logs/postgres.log. When a
    server of this cluster already runs and stays, it is used as it is. Raises PostgresError.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    data_dir = data_dir.resolve()
    log = log or data_dir / "logs" / "postgres.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    _prepare(data_dir)
    deadline = time.monotonic() + patience
    while True:
        for earlier in _started:
            earlier.poll()  # PostgreSQL takes an unreaped child of ours for a running server
        found = _found_running(data_dir)
        if found is not None:
            _ensure_database(data_dir)
            return found
        begin = log.stat().st_size if log.exists() else 0
        server = _spawn(data_dir, log)
        if _answers(server, data_dir):
            _ensure_database(data_dir)
            return server
        if time.monotonic() > deadline:
            with log.open("rb") as messages:
                messages.seek(begin)
                said = messages.read().decode(errors="replace").strip()
            raise PostgresError(f"PostgreSQL does not start.{_lock_holder(data_dir)}\n{said}")
        time.sleep(0.25)


def connect(data_dir: Path, *, database: str = DATABASE, **options: Any) -> psycopg.Connection[Any]:
    """A connection with autocommit, for the launcher's own questions."""
    return psycopg.connect(
        host=str(socket_dir(data_dir)),
        port=PORT,
        user=USER,
        password=password(data_dir),
        dbname=database,
        connect_timeout=10,
        autocommit=True,
        **options,
    )


def _prepare(data_dir: Path) -> None:
    """Makes the directories and, once, the cluster."""
    who = account()
    where = place(data_dir)
    home = where.home
    if not home.is_relative_to(data_dir):
        make_directory(home.parent, who, mode=0o755, owned=False)
        record(data_dir, where)
    make_directory(home, who, mode=0o755, owned=False)
    closed = closed_to(who, home)
    if closed is not None:
        raise PostgresError(
            f"PostgreSQL runs as {who.name} because it refuses root, and {closed} is closed to it. "
            "Open that directory, choose another PULSECLOUD_DATA_DIR, or set DATABASE_URL."
        )
    if not where.socket.is_relative_to(home):
        make_directory(where.socket.parent, who, mode=0o755, owned=False)
    make_directory(where.socket, who, mode=0o700, owned=True)
    if not where.cluster.exists():
        _make_cluster(data_dir)
    elif where.cluster.stat().st_uid != who.uid:
        owner = where.cluster.stat().st_uid
        raise PostgresError(
            f"The cluster {where.cluster} belongs to user {owner}, not to {who.name}: run as the "
            "user who made it, or choose another PULSECLOUD_DATA_DIR."
        )


def _make_cluster(data_dir: Path) -> None:
    """initdb beside the final name, then a rename: a killed initdb leaves no half cluster."""
    who = account()
    where = place(data_dir)
    if not who.switch:
        try:
            pwd.getpwuid(who.uid)
        except KeyError:
            raise PostgresError(
                f"User id {who.uid} has no entry in /etc/passwd, and PostgreSQL's initdb wants "
                "one. Add one, run as another user, or set DATABASE_URL."
            ) from None
    draft = where.home / "cluster.new"
    shutil.rmtree(draft, ignore_errors=True)
    make_directory(draft, who, mode=0o700, owned=True)
    # In the 0700 directory of the server's user, and gone before the server starts.
    secret = where.home / "cluster.password"
    secret.unlink(missing_ok=True)
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            if who.switch:
                os.fchown(file.fileno(), who.uid, who.gid)
            file.write(password(data_dir) + "\n")
        made = subprocess.run(
            [
                str(binaries(where, who) / "initdb"),
                f"--pgdata={draft}",
                f"--username={USER}",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--no-instructions",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **_as_server(where.home),
        )
    finally:
        secret.unlink(missing_ok=True)
    if made.returncode:
        raise PostgresError(f"initdb failed:\n{made.stdout.decode(errors='replace').strip()}")
    draft.rename(where.cluster)


def _as_server(home: Path) -> dict[str, Any]:
    """Popen arguments: the server's user, a directory it can reach, none of our secrets."""
    who = account()
    switch: dict[str, Any] = (
        {"user": who.uid, "group": who.gid, "extra_groups": []} if who.switch else {}
    )
    return {
        "cwd": home,
        "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        "preexec_fn": die_with_parent(signal.SIGINT),
        **switch,
    }


def _spawn(data_dir: Path, log: Path) -> Server:
    who = account()
    where = place(data_dir)
    quoted = str(where.socket).replace('"', '""')
    settings = {**SETTINGS, "unix_socket_directories": f'"{quoted}"'}
    command = [str(binaries(where, who) / "postgres"), "-D", str(where.cluster), "-p", PORT]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    messages: IO[bytes]
    with log.open("ab") as messages:
        # A group of its own: Ctrl-C in a terminal reaches the supervisor only, and it stops us last.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            process_group=0,
            **_as_server(where.home),
        )
    _started.append(process)
    return Server(process.pid, process)


def _answers(server: Server, data_dir: Path) -> bool:
    """Waits until the server takes connections; False when it ended first. Recovery may be long."""
    while server.running():
        if _reachable(data_dir):
            # A dying server may have answered through the same socket; then ours has ended.
            return server.running()
        time.sleep(0.05)
    return False


def _reachable(data_dir: Path) -> bool:
    try:
        with connect(data_dir, database="postgres"):
            return True
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise PostgresError(
                f"The cluster {cluster_dir(data_dir)} does not take the password in "
                f"{data_dir / 'keys' / 'postgres_password'}: one of the two was replaced."
            ) from error
        return False


def _found_running(data_dir: Path) -> Server | None:
    """The server that already runs on this cluster and takes connections, or None.

    One that is shutting down (its parent died just now) refuses connections: then the caller
    starts its own and tries until the old one is gone.
    """
    pid = _lock_pid(data_dir)
    if pid is None or not alive(pid) or not _reachable(data_dir):
        return None
    return Server(pid, None)


def _lock_pid(data_dir: Path) -> int | None:
    try:
        text = (cluster_dir(data_dir) / "postmaster.pid").read_text(encoding="utf-8")
        return int(text.split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _lock_holder(data_dir: Path) -> str:
    """For the message: who the lock file names, when that is not a PostgreSQL at all."""
    pid = _lock_pid(data_dir)
    if pid is None or not alive(pid):
        return ""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    if name == "postgres":
        return f" Process {pid} still holds the cluster."
    return (
        f" Its lock file names process {pid}, which is now {name!r} and no PostgreSQL: stop that "
        f"process, or make sure that no postgres runs and delete {cluster_dir(data_dir)}/postmaster.pid."
    )


def _ensure_database(data_dir: Path) -> None:
    with connect(data_dir, database="postgres") as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if found.fetchone() is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')
