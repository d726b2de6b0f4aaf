"""`manage.py runtime`: keeps every active organisation connected to the relay."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = (
        "Runs the built-in runtime: one relay connection for each active organisation whose "
        "runtime is built in. It registers with the attached licence or the lease, renews it in "
        "time, and answers phones by calling web. One runtime serves; further ones stand by. "
        "Stops on SIGTERM and SIGINT."
    )
    # System checks would load the URLs and with them every view; `manage.py up` runs them first.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(serve())


async def serve() -> None:
    from relay.runtime.process import Runtime

    log = structlog.get_logger(__name__)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log.info("runtime started", relay=settings.RELAY_SERVER, hosted_mode=settings.HOSTED_MODE)
    await Runtime().run(stop)
    log.info("runtime stopped")
