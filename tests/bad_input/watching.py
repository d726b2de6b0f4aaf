"""What bad input must not do to a product: leave rows, write tracebacks, take memory."""

from __future__ import annotations

import json
from pathlib import Path

from django.db import connection

from tests.chaos.havoc import children
from tests.product import Product

# Rows that come and go by themselves, or that stand for every request.
PASSING = (
    "tenants_limitwindow",
    "tenants_sample",
    "tenants_backup",
    "procrastinate_",
    "audit_batch",
    "audit_sealedevent",
)


def rows() -> dict[str, int]:
    """{schema.table: rows} of everything but PASSING. What was refused is audited, and so is who
    takes an export away; those events are not counted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname = 'public' OR schemaname LIKE 'org\\_%' ORDER BY 1, 2"
        )
        tables = [(s, t) for s, t in cursor.fetchall() if not t.startswith(PASSING)]
        counts = [
            f"""SELECT '{schema}.{table}', count(*) FROM "{schema}"."{table}" """
            for schema, table in tables
            if table != "audit_event"
        ]
        counts.append(
            "SELECT 'audit_event: ' || action, count(*) FROM public.audit_event"
            " WHERE success AND action <> 'audit_exported' GROUP BY action"
        )
        cursor.execute(" UNION ALL ".join(counts))
        return dict(cursor.fetchall())


def jobs() -> int:
    """Jobs that are not the worker's own chores."""
    with connection.cursor() as cursor:
        # What is put into the queue by the clock says for when.
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE NOT args ? 'timestamp'")
        return int(cursor.fetchone()[0])


class Logs:
    """The lines that were written since it was made, or since the last look."""

    def __init__(self, product: Product) -> None:
        self.folder = product.data_dir / "logs"
        self.read_to = {path: path.stat().st_size for path in self._files()}

    def faults(self) -> list[str]:
        """New lines that tell of an error or hold a traceback, shortened."""
        found = []
        for path in self._files():
            with path.open("rb") as file:
                file.seek(self.read_to.get(path, 0))
                new = file.read()
            self.read_to[path] = self.read_to.get(path, 0) + len(new)
            found += [
                f"{path.name}: {line[:1500]}" for line in new.decode().splitlines() if _bad(line)
            ]
        return found

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))


def _bad(line: str) -> bool:
    if "Traceback" in line:
        return True
    try:
        entry = json.loads(line)
    except ValueError:
        return "ERROR" in line or "FATAL" in line
    return isinstance(entry, dict) and entry.get("level") in ("error", "critical")


def memory(product: Product) -> int:
    """Bytes that web's processes hold in memory that nobody shares with them."""
    return sum(_private(pid) for pid in children(product.pids()["web"]))


def _private(pid: int) -> int:
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:", "Swap:")):
            total += int(line.split()[1]) * 1024
    return total
