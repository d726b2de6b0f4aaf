"""manage.py prepare_schemas: brings tenant schemas up to date and makes their template."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants import schema_template, schemas


class Command(BaseCommand):
    requires_system_checks: list[str] = []  # part of set-up: the checks judge what it makes
    help = (
        "Runs tenant migrations in every organisation's schema that lacks some, and makes the "
        "template that new schemas are created from. Part of set-up; safe to repeat."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with schema_template.alone():
            behind = schemas.behind()
            for name in behind:
                schemas.migrate_schema(name)
            made = schema_template.prepare()
        self.stdout.write(
            f"{len(behind)} schema{'' if len(behind) == 1 else 's'} migrated; "
            f"the template was {'made' if made else 'there already'}."
        )
