"""docs/scaling.md says what the code does."""

from __future__ import annotations

import re
import shlex

import pytest
from django.core.management import load_command_class

from bench.load import measuring
from tenants.upgrades import running, versions
from tests.product import ROOT

TEXT = " ".join((ROOT / "docs" / "scaling.md").read_text(encoding="utf-8").split())


@pytest.mark.covers("F26")
def test_its_numbers_are_the_codes() -> None:
    assert f"**{versions.WARN_AT} schemas**" in TEXT
    assert f"**about {versions.CEILING:,} schemas**" in TEXT
    assert f"let go after {running.LOCK_MS // 1000} s (`--lock-timeout`)" in TEXT
    assert f"may take {running.STATEMENT_MS // 1000} s (`--statement-timeout`)" in TEXT
    assert running.ROUNDS == 5 and "five times in all" in TEXT
    assert f"must be at most {measuring.TARGET} times the quiet one" in TEXT


def test_its_options_are_the_commands() -> None:
    parser = load_command_class("tenants", "migrate_orgs").create_parser("manage.py", "x")
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    shown = re.findall(r"manage\.py migrate_orgs ?([^#\n`]*)", page)
    assert len(shown) >= 5
    for options in shown:
        parser.parse_args(shlex.split(options))
