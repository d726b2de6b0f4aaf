"""manage.py prepare_schemas: brings tenant schemas up to date and makes their template."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from tenants import schema_template, schemas
from tenants.models import Organisation, State


class Command(BaseCommand):
    requires_system_checks: list[str] = []  # part of set-up: the checks judge what it makes
    help = (
        "Runs tenant migrations in every organisation's schema that lacks some, and makes the "
        "template that new schemas are created from. Part of set-up; safe to repeat."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        migrated = 0
        names = (
            Organisation.objects.exclude(state__in=[State.PURGING, State.DELETED])
            .filter(provisioned_at__isnull=False)
            .values_list("schema_name", flat=True)
        )
        for name in list(names):
            if schemas.schema_exists(name) and schemas.behind(name):
                schemas.migrate_schema(name)
                migrated += 1
        made = schema_template.prepare()
        self.stdout.write(
            f"{migrated} schema{'' if migrated == 1 else 's'} migrated; "
            f"the template was {'made' if made else 'there already'}."
        )
