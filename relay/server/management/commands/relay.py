"""The relay process of the full product, or a relay on its own."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections

from relay.server import serve, station
from relay.server.keyring import BadKey


class Command(BaseCommand):
    help = (
        "Serves instances and apps at PULSE_RELAY_ADDR. With --standalone it needs no other process: "
        "it keeps its state in SQLite in PULSE_RELAY_DATA_DIR."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--standalone", action="store_true", help="a relay on its own, for self-hosted Pulse"
        )

    def handle(self, *args: Any, standalone: bool, **options: Any) -> None:
        if standalone:
            _check_keys()
        try:
            relay = station.from_settings(settings, full_product=not standalone)
        except BadKey as error:
            raise CommandError(
                f"PULSE_RELAY_PUBLIC_KEY or PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY: {error}."
            ) from error
        except ValueError as error:
            raise CommandError(f"TRUSTED_PROXIES: {error}.") from error
        if standalone:
            _prepare(settings.RELAY_DATA_DIR)
        else:
            _bound_waiting()
        try:
            listener = serve.listen(*settings.RELAY_ADDR)
        except serve.CannotListen as error:
            raise CommandError(str(error)) from error
        serve.run(relay, listener)


def _check_keys() -> None:
    if not (
        settings.RELAY_PUBLIC_KEY
        or settings.RELAY_ENTITLEMENT_PUBLIC_KEY
        or settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE
    ):
        raise CommandError(
            "The relay has no key to verify credentials with. Set PULSE_RELAY_PUBLIC_KEY (the base64 "
            "Ed25519 key that your licences are signed with), or PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY "
            "for entitlement leases, or both."
        )


def _prepare(directory: Path) -> None:
    """Makes the data directory and its database. Fails now, not at the first registration (R87)."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = directory / f".probe-{os.getpid()}"
        probe.touch(mode=0o600)
        probe.unlink()
        os.umask(0o077)  # the database holds session hashes: nobody else reads it
        call_command("migrate", verbosity=0, interactive=False)
        connections["default"].close()
    except (OSError, DatabaseError) as error:
        raise CommandError(
            f"PULSE_RELAY_DATA_DIR {directory} cannot be written: {error}. The relay keeps sessions "
            "there; choose a directory that this user may write to."
        ) from error


def _bound_waiting() -> None:
    """A database that does not answer must show, or its threads wait for ever."""
    options = connections.settings["default"].setdefault("OPTIONS", {})
    options.setdefault("connect_timeout", 5)
    options.setdefault("tcp_user_timeout", 10_000)
    options.setdefault(
        "options", "-c statement_timeout=5000 -c idle_in_transaction_session_timeout=10000"
    )
