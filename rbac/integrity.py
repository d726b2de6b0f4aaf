"""Whether an organisation's roles are in order (hosted-contract section 10.5)."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connection

from rbac import builtin, metrics
from rbac.models import Assignment, Role
from tenants.models import Organisation
from tenants.schemas import in_schema


def check(organisation: Organisation) -> dict[str, Any]:
    """A health record: tables there and at least the four built-in roles. Counts every check."""
    with in_schema(organisation):
        missing = _missing_tables()
        total = 0 if missing else Role.objects.count()
        built_in = 0 if missing else Role.objects.filter(is_builtin=True).count()
        assigned = 0 if missing else Assignment.objects.count()
    error = ""
    if missing:
        error = f"missing tables: {', '.join(missing)}"
    elif built_in < len(builtin.ROLES):
        error = f"{built_in} of {len(builtin.ROLES)} built-in roles are there"
    metrics.checked(not error)
    found = {
        "org_id": str(organisation.pk),
        "db_accessible": True,
        "tables_present": not missing,
        "total_roles": total,
        "built_in_role_count": built_in,
        "total_assignments": assigned,
        "healthy": not error,
    }
    return found | ({"error": error} if error else {})


def _missing_tables() -> list[str]:
    wanted = [model._meta.db_table for model in apps.get_app_config("rbac").get_models()]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name FROM unnest(%s::text[]) name"
            " WHERE to_regclass(quote_ident(current_schema()) || '.' || quote_ident(name)) IS NULL"
            " ORDER BY name",
            [wanted],
        )
        return [str(name) for (name,) in cursor.fetchall()]
