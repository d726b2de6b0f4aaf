"""An upgrade of many organisations beside `migrate_schemas`, same migration, same server, same run.

    python -m bench.migrate_orgs [--schemas 500] [--compared 10] [--json]

One release adds a column (an SQL that is the same for all), the next one runs Python in every schema.
Starts an embedded PostgreSQL of its own in a temporary directory, with the product's settings. Times
are wall clock, committed. `migrate_schemas` is asked for a few schemas, one after the other, as it
would go through all; its time a schema does not depend on how many there are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path
from typing import Any

TARGET = 20.0  # times as fast as migrate_schemas
FEWEST_SECOND = 200.0  # schemas a second


def measure(folder: Path, *, schemas: int, compared: int) -> dict[str, Any]:
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    from tenants import schema_template
    from tenants.models import Organisation, SchemaVersion, State
    from tenants.schemas import create_schema, new_schema_name
    from tenants.upgrades import running, versions
    from tests.upgrades import release

    def use(*bodies: str) -> None:
        module, _ = release.write_package(folder, *bodies)
        settings.MIGRATION_MODULES = {"rbac": module}
        versions.release.cache_clear()

    call_command("migrate_schemas", shared=True, skip_checks=True, verbosity=0)
    schema_template.prepare()
    names = []
    for number in range(schemas + compared):
        names.append(new_schema_name())
        create_schema(names[-1])
        Organisation.objects.create(
            display_name="Bench",
            label=f"bench-{number}",
            schema_name=names[-1],
            instance_host=f"bench-{number}.localhost",
            owner_email="bench@example.test",
            state=State.PROVISIONING,
        )
    sys.path.insert(0, str(folder))
    use(release.ADD_COLUMN)
    connection.close()  # a backend that has seen no schema yet
    bare = _backend_bytes()
    theirs = []
    for name in names[:compared]:
        begun = time.perf_counter()
        call_command(
            "migrate_schemas",
            schema_name=name,
            tenant=True,
            skip_checks=True,
            verbosity=0,
            stdout=StringIO(),
        )
        theirs.append(time.perf_counter() - begun)
        versions.note(name)
    begun = time.perf_counter()
    behind = versions.behind()
    asked = time.perf_counter() - begun
    ours = running.upgrade()
    assert ours.migrated == len(behind) == schemas, ours
    begun = time.perf_counter()
    assert versions.behind(look=True) == []
    looked = time.perf_counter() - begun
    use(release.ADD_COLUMN, release.PYTHON)
    python = running.upgrade()
    assert python.migrated == schemas + compared, python
    held = _backend_bytes()
    assert not SchemaVersion.objects.exclude(version=versions.release().version).exists()
    each = statistics.median(theirs)
    ratio = each / (ours.seconds / schemas)
    return {
        "schemas": schemas,
        "sql_seconds": round(ours.seconds, 2),
        "sql_a_second": round(schemas / ours.seconds),
        "python_seconds": round(python.seconds, 2),
        "python_a_second": round(python.migrated / python.seconds),
        "who_is_behind_ms": round(asked * 1000, 1),
        "looking_into_each_ms": round(looked * 1000, 1),
        "backend_kib_a_schema": round((held - bare) / 1024 / len(names), 1),
        "migrate_schemas_ms_each": round(each * 1000, 1),
        "ratio": round(ratio, 1),
        "target_ratio": TARGET,
        "target_a_second": FEWEST_SECOND,
        "passed": ratio >= TARGET and schemas / ours.seconds >= FEWEST_SECOND,
    }


def _backend_bytes() -> int:
    """What this connection's backend holds: its caches of tables never shrink."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(total_bytes) FROM pg_backend_memory_contexts")
        (total,) = cursor.fetchone()
    return int(total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--schemas", type=int, default=500)
    parser.add_argument("--compared", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-migrate-") as place:
        Path(place).chmod(0o755)  # PostgreSQL drops root and must be able to reach its cluster
        os.environ["PULSECLOUD_DATA_DIR"] = f"{place}/var"
        os.environ["DJANGO_SETTINGS_MODULE"] = "pulsecloud.settings"
        os.environ.pop("DATABASE_URL", None)
        import django

        from pulsecloud import postgres

        server = postgres.start(Path(place) / "var")
        try:
            django.setup()
            found = measure(Path(place), schemas=options.schemas, compared=options.compared)
            from django.db import connections

            connections.close_all()
        finally:
            server.stop()
    if options.json:
        print(json.dumps(found))
    else:
        print(f"{found['schemas']} schemas")
        print(
            f"  one SQL for all   {found['sql_seconds']:6.2f} s, {found['sql_a_second']} a second"
            f" (target {FEWEST_SECOND:g})"
        )
        print(
            f"  a Python migration {found['python_seconds']:5.2f} s,"
            f" {found['python_a_second']} a second"
        )
        print(
            f"  who is behind: {found['who_is_behind_ms']} ms from the notes,"
            f" {found['looking_into_each_ms']} ms by looking into each"
        )
        print(
            f"  a backend that saw all of them holds {found['backend_kib_a_schema']} KiB for each"
        )
        verdict = "reached" if found["ratio"] >= TARGET else "MISSED"
        print(
            f"  {found['ratio']} times as fast as migrate_schemas"
            f" ({found['migrate_schemas_ms_each']} ms each); at least {TARGET:g} {verdict}"
        )
    sys.exit(0 if found["passed"] else 1)


if __name__ == "__main__":
    main()
