"""manage.py settings_reference: writes docs/settings.md from the settings' own declarations."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from pulsecloud.env import Declaration

HEAD = """# Settings

Every setting is an environment variable, read once at start; a value that cannot be read stops the
start with a sentence that names it. A secret may stand in a file instead: `NAME_FILE=/path`.

This page is generated: `make docs`.

| variable | takes | default | what it does |
|---|---|---|---|
"""


def page(declared: dict[str, Declaration]) -> str:
    """The page, in the order in which the settings are declared."""
    return HEAD + "".join(
        f"| `{d.name}` | {_cell(d.kind)} | {_cell(d.default) or 'none'} | {_cell(d.help)} |\n"
        for d in declared.values()
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").strip()


class Command(BaseCommand):
    help = "Writes docs/settings.md, the reference of all settings."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say whether it is current")

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / "docs" / "settings.md"
        text = page(settings.ENV.declared)
        if options["check"]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                self.stderr.write("docs/settings.md is not current: run `make docs`.")
                sys.exit(1)
            return
        path.write_text(text, encoding="utf-8")
        self.stdout.write(f"Wrote {path.relative_to(settings.BASE_DIR)}.")
