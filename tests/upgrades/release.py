"""The release after this one: the tenant migrations as they are, and some more."""

from __future__ import annotations

import itertools
import sys
import textwrap
from pathlib import Path
from typing import Any

from rbac import migrations as ours
from tenants import schema_template
from tenants.upgrades import versions

_numbers = itertools.count(1)

ADD_COLUMN = """
operations = [
    migrations.AddField("role", "colour", models.CharField(max_length=20, default="blue")),
]
"""
ADD_TABLE = """
operations = [
    migrations.CreateModel("Badge", [
        ("id", models.BigAutoField(primary_key=True)),
        ("role", models.ForeignKey("rbac.role", models.CASCADE, related_name="+")),
        ("text", models.CharField(max_length=20, db_index=True)),
    ]),
]
"""
UNIQUE_TOGETHER_GONE = """
operations = [
    migrations.RemoveConstraint("groupmapping", "group_mapping_once"),
    migrations.AlterField("groupmapping", "group", models.CharField(max_length=300)),
]
"""
PYTHON = """
def paint(apps, editor):
    for role in apps.get_model("rbac", "Role").objects.all():
        role.description = "painted"
        role.save()


operations = [migrations.RunPython(paint, migrations.RunPython.noop)]
"""
RANDOM_DEFAULT = """
import secrets

operations = [
    migrations.AddField(
        "role", "seed", models.CharField(max_length=64, default=secrets.token_hex)
    ),
]
"""
CONCURRENT_INDEX = """
from django.contrib.postgres.operations import AddIndexConcurrently

atomic = False
operations = [
    AddIndexConcurrently("role", models.Index(fields=["name"], name="role_name_next")),
]
"""
# Comments before, within and behind the statements, as people write SQL by hand.
SQL_WITH_COMMENTS = """
operations = [
    migrations.RunSQL("-- why this is here\\nALTER TABLE rbac_role ADD COLUMN hue int;"),
    migrations.RunSQL("ALTER TABLE rbac_role ADD COLUMN tone int -- and this"),
    migrations.RunSQL("ALTER TABLE rbac_role ADD COLUMN shade int"),
]
"""
SQL_WITH_OUR_PLACE = """
operations = [
    migrations.RunSQL("ALTER TABLE rbac_role ADD COLUMN path text DEFAULT '/{schema}/'"),
]
"""
BROKEN = """
operations = [migrations.RunSQL("ALTER TABLE rbac_nothing ADD COLUMN x int")]
"""
# Works on the empty draft, and fails where a role of that name stands.
STUMBLES = """
operations = [
    migrations.RunSQL(
        "ALTER TABLE rbac_role ADD CONSTRAINT no_stumble CHECK (name <> 'stumble')"
    ),
]
"""


def write_package(folder: Path, *bodies: str) -> tuple[str, list[str]]:
    """A package of migrations in `folder`, today's and one for each body; (name, added ones)."""
    package = folder / f"next_release_{next(_numbers)}"
    package.mkdir()
    mine = sorted(Path(str(ours.__file__)).parent.glob("0*.py"))
    for path in mine:
        (package / path.name).write_text(path.read_text())
    (package / "__init__.py").write_text("")
    before, added = mine[-1].stem, []
    for number, body in enumerate(bodies, len(mine) + 1):
        name = f"{number:04}_next"
        inside = textwrap.indent(body.strip(), "    ")
        head = "from django.db import migrations, models\n\n\nclass Migration"
        text = f"{head}(migrations.Migration):\n    dependencies = [('rbac', '{before}')]\n"
        (package / f"{name}.py").write_text(f"{text}{inside}\n")
        added.append(name)
        before = name
    return package.name, added


class NextRelease:
    """Set as the running code's migrations by `use`; `module` names the package for processes."""

    def __init__(self, folder: Path, monkeypatch: Any, settings: Any) -> None:
        self.folder, self.monkeypatch, self.settings = folder, monkeypatch, settings
        self.module = ""

    def use(self, *bodies: str) -> list[str]:
        """The names of the added migrations, such as "0003_next"."""
        self.module, added = write_package(self.folder, *bodies)
        self.monkeypatch.setattr(sys, "path", [str(self.folder), *sys.path])
        self.settings.MIGRATION_MODULES = {"rbac": self.module}
        self.forget()
        return added

    def forget(self) -> None:
        """What this process remembers of its own release."""
        versions.release.cache_clear()
        self.monkeypatch.setattr(schema_template, "_process_hash", None)

    def environment(self) -> dict[str, str]:
        """For a `manage.py` process of that release."""
        return {
            "DJANGO_SETTINGS_MODULE": "tests.upgrades.settings_next",
            "NEXT_RELEASE": self.module,
            "PYTHONPATH": str(self.folder),
        }
