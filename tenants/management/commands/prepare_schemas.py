"""manage.py prepare_schemas: brings tenant schemas up to date and makes their template."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants import schema_template
from tenants.upgrades import running
from tenants.upgrades.rendering import BrokenMigration


class Command(BaseCommand):
    requires_system_checks: list[str] = []  # part of set-up: the checks judge what it makes
    help = (
        "Looks into every organisation's schema, migrates those that lack something, and makes the "
        "template that new schemas are created from. Part of set-up; safe to repeat. Exit code 1 "
        "when a schema could not be migrated: `manage.py migrate_orgs` tells more."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with schema_template.alone():
                report = running.upgrade(look=True, say=self.stderr.write)
                made = schema_template.prepare()
        except (BrokenMigration, schema_template.TemplateError, running.DatabaseGone) as error:
            raise CommandError(str(error)) from None
        count = report.migrated
        self.stdout.write(
            f"{count} schema{'' if count == 1 else 's'} migrated; "
            f"the template was {'made' if made else 'there already'}."
        )
        if report.stragglers:
            raise CommandError(running.failures(report))
