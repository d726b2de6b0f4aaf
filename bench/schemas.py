"""Schema creation from the template beside `migrate_schemas`, same tables, same server, same run.

    python -m bench.schemas [--schemas 30] [--migrated 5] [--json]

Starts an embedded PostgreSQL of its own in a temporary directory, with the product's settings.
Times are wall clock of one schema each, committed; the two ways alternate.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

TARGET = 15.0  # times as fast as migrate_schemas


def measure(*, made: int, migrated: int) -> dict[str, Any]:
    """Milliseconds per schema, and the ratio of the medians."""
    from django.core.management import call_command
    from django.db import connection

    from tenants import schema_template, schemas

    call_command("migrate_schemas", shared=True, skip_checks=True, verbosity=0)
    template = _timed(schema_template.prepare)
    names: list[str] = []

    def from_template() -> None:
        names.append(schemas.new_schema_name())
        schemas.create_schema(names[-1])

    def by_migrations() -> None:
        names.append(schemas.new_schema_name())
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE SCHEMA "{names[-1]}"')
        call_command(
            "migrate_schemas",
            schema_name=names[-1],
            tenant=True,
            skip_checks=True,
            verbosity=0,
            stdout=StringIO(),
        )

    def by_our_migrations() -> None:
        names.append(schemas.new_schema_name())
        schemas.migrate_schema(names[-1])

    from_template()  # warm: the template is read and the connection is open
    times: dict[str, list[float]] = {"template": [], "migrate_schemas": [], "tenant_migrations": []}
    for _ in range(migrated):
        times["migrate_schemas"].append(_timed(by_migrations))
        times["tenant_migrations"].append(_timed(by_our_migrations))
        for _ in range(max(1, made // migrated)):
            times["template"].append(_timed(from_template))
    dropped = [_timed(partial(schemas.drop_schema, name)) for name in names]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE relkind = 'r'), count(*) FILTER (WHERE relkind = 'i')"
            " FROM pg_class WHERE relnamespace = %s::regnamespace",
            [_one_more(schemas)],
        )
        tables, indexes = cursor.fetchone()
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratio = medians["migrate_schemas"] / medians["template"]
    return {
        "tables": tables,
        "indexes": indexes,
        "making_the_template_ms": round(template, 1),
        "median_ms": {name: round(value, 1) for name, value in medians.items()},
        "worst_ms": {name: round(max(values), 1) for name, values in times.items()},
        "runs": {name: len(values) for name, values in times.items()},
        "drop_median_ms": round(statistics.median(dropped), 1),
        "ratio": round(ratio, 1),
        "target": TARGET,
        "passed": ratio >= TARGET,
    }


def _one_more(schemas: Any) -> str:
    name: str = schemas.new_schema_name()
    schemas.create_schema(name)
    return name


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--schemas", type=int, default=30)
    parser.add_argument("--migrated", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-schemas-") as folder:
        os.environ["PULSECLOUD_DATA_DIR"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "pulsecloud.settings"
        os.environ.pop("DATABASE_URL", None)
        import django

        from pulsecloud import postgres

        server = postgres.start(Path(folder))
        try:
            django.setup()
            figures = measure(made=options.schemas, migrated=options.migrated)
            from django.db import connections

            connections.close_all()
        finally:
            server.stop()
    if options.json:
        print(json.dumps(figures))
        return
    print(f"one schema: {figures['tables']} tables, {figures['indexes']} indexes")
    for name, value in figures["median_ms"].items():
        worst, runs = figures["worst_ms"][name], figures["runs"][name]
        print(f"  {name:18} median {value:8.1f} ms   worst {worst:8.1f} ms   {runs} runs")
    verdict = "reached" if figures["passed"] else "MISSED"
    print(f"  {figures['ratio']} times as fast as migrate_schemas; at least {TARGET:g} {verdict}")


if __name__ == "__main__":
    main()
