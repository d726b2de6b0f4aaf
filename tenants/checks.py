"""System checks of the tenancy rules that models and settings alone can break (design section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db.models import Model

from tenants.pooling import shares_connections

MOST_TABLES = 15  # each one costs every organisation files, cache and migration time


def tenant_models() -> list[type[Model]]:
    """Every model whose table stands in each tenant schema, tables of many-to-many included."""
    return _models(settings.TENANT_APPS)


def public_models() -> list[type[Model]]:
    return _models(settings.SHARED_APPS)


def _models(names: list[str]) -> list[type[Model]]:
    configs = [config for config in apps.get_app_configs() if config.name in names]
    return [model for config in configs for model in config.get_models(include_auto_created=True)]


@register()
def tenancy(**kwargs: Any) -> list[CheckMessage]:
    inside = tenant_models()
    tables = {model._meta.db_table for model in inside}
    problems: list[CheckMessage] = []
    if set(settings.DATABASES) != {"default"}:
        # F09: django-tenants switches one alias and looks at another.
        problems.append(Error("There must be one database alias, `default`.", id="tenants.E001"))
    if len(tables) > MOST_TABLES:
        problems.append(
            Error(f"{len(tables)} tenant tables; {MOST_TABLES} at most.", id="tenants.E002")
        )
    for name in sorted(tables & {model._meta.db_table for model in public_models()}):
        problems.append(
            Error(
                f"The table {name} stands in public and in tenant schemas.",
                hint="A query would silently be answered from public when the schema is gone.",
                id="tenants.E003",
            )
        )
    for model in inside:
        for field in model._meta.get_fields():
            other = field.related_model if field.concrete and field.is_relation else None
            if isinstance(other, type) and other._meta.db_table not in tables:
                problems.append(
                    Error(
                        f"{model.__name__}.{field.name} points out of the tenant schema.",
                        hint="Keep the key without a foreign key (measured: stack notes, F07).",
                        obj=model,
                        id="tenants.E004",
                    )
                )
    return problems


@register(Tags.database)
def pooling(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    if "default" not in (databases or []):
        return []
    try:
        shared = shares_connections()
    except psycopg.Error:
        return []  # whether the database answers is for /readyz to say
    if not shared:
        return []
    return [
        Error(
            "A transaction pooler stands before the database.",
            hint="One organisation's search path would serve another's queries (F14). Let "
            "DATABASE_URL lead to PostgreSQL itself, or to a pool in session mode.",
            id="tenants.E005",
        )
    ]
