"""Gunicorn's configuration of the web process: `gunicorn -c python:pulsecloud.gunicorn_conf`."""

from __future__ import annotations

import logging
import os
import signal
from typing import Any

from django.conf import settings
from gunicorn.glogging import Logger

from pulsecloud.processes import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pulsecloud.settings")

wsgi_app = "pulsecloud.wsgi:application"
_host, _port = settings.WEB_ADDR  # loading the settings also names the metrics directory
bind = [f"[{_host}]:{_port}" if ":" in _host else f"{_host}:{_port}"]
worker_class = "pulsecloud.gunicorn_worker.Worker"
workers = settings.WEB_WORKERS
threads = settings.WEB_THREADS
preload_app = True  # the code is loaded once; workers share its memory
# Restart now and then: the relation cache of a long-lived database connection only grows (F26).
max_requests = 20_000
max_requests_jitter = 2_000
timeout = 60
graceful_timeout = 15
keepalive = 5
# Contract limits on the wire; longer ones are refused before a view sees them.
limit_request_line = 8190
limit_request_fields = 100
control_socket_disable = True  # it would stand in the home directory, one for all products
forwarded_allow_ips = ""  # X-Forwarded-* is judged by TRUSTED_PROXIES, in one place


class StructuredLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Gunicorn's own lines through the root logger; requests are logged by our middleware."""

    def setup(self, cfg: Any) -> None:
        self.loglevel = logging.INFO
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
        self.access_log.disabled = True

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Gunicorn quotes the line that it cannot read, and with it a cookie or a token."""
        if msg.startswith("Invalid request from"):
            msg = ": ".join(msg.split(": ")[:2])
        super().warning(msg, *args, **kwargs)

    def reopen_files(self) -> None:
        """Nothing to reopen: the supervisor owns the files."""


logger_class = StructuredLogger


# Loaded by the master, so that its workers know whose death is meant. Orphans would go on with
# their requests, for up to graceful_timeout, and hold the port that a new master needs.
_go_with_master = die_with_parent(signal.SIGKILL)


def post_fork(server: Any, worker: Any) -> None:
    """No worker outlives its master."""
    _go_with_master()


def child_exit(server: Any, worker: Any) -> None:
    """A dead worker's gauges must not be counted on (F72)."""
    from prometheus_client import multiprocess  # after the settings: it looks for the directory

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
