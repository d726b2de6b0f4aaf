"""manage.py migrate: brings the public schema and every organisation's schema up to date.

It stands before django-tenants' command of this name, which would migrate a schema per row of the
organisations table, and not every organisation has one: some are only requested, some are gone.
"""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db.migrations.autodetector import MigrationAutodetector


class Command(BaseCommand):
    requires_system_checks: list[str] = []  # they judge what this makes
    autodetector = MigrationAutodetector  # a system check compares it with makemigrations'
    help = "Applies all migrations: platform tables, organisations' tables, and their template."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command(
            "migrate_schemas",
            shared=True,
            interactive=False,
            skip_checks=True,
            verbosity=options["verbosity"],
            stdout=self.stdout,
        )
        call_command("prepare_schemas", stdout=self.stdout, stderr=self.stderr)
