"""What a test run says about itself: ids that were shown, and what could not run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.product import ROOT

SUITE = """
import pytest

@pytest.mark.covers("R01", "F10")
def test_passes(): pass

@pytest.mark.covers("R02")
def test_fails(): assert False

@pytest.mark.covers("R03")
@pytest.mark.skip(reason="not today")
def test_skipped(): pass

@pytest.mark.covers("R04")
@pytest.mark.xfail
def test_expected_to_fail(): assert False

@pytest.mark.covers("R05")
@pytest.mark.xfail
def test_unexpectedly_passes(): pass

@pytest.fixture
def breaks_later():
    yield
    raise RuntimeError("not tidy")

@pytest.mark.covers("R06")
def test_tidies_up_badly(breaks_later): pass

@pytest.mark.covers("R07")
@pytest.mark.long
def test_takes_long(): pass

@pytest.mark.covers("R08")
@pytest.mark.real_client
def test_with_the_real_client(): pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(
        'pytest_plugins = ["tests.plugin_covers", "tests.plugin_not_run"]\n'
    )
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def run(suite: Path, *options: str) -> tuple[str, dict[str, list[str]]]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:django",
            "--covers-to",
            "ids.json",
            *options,
        ],
        cwd=suite,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(suite)},
        capture_output=True,
        text=True,
    )
    return done.stdout, json.loads((suite / "ids.json").read_text())


@pytest.mark.parametrize("options", [(), ("-n", "2")])
def test_only_what_ran_and_passed_counts(suite: Path, options: tuple[str, ...]) -> None:
    _, shown = run(suite, *options)
    assert shown == {"F10": ["test_suite.py::test_passes"], "R01": ["test_suite.py::test_passes"]}


def test_what_cannot_run_is_named(suite: Path) -> None:
    output, _ = run(suite)
    assert "not run here: 1 × needs the published closed client" in output
    assert "not run here: 1 × real deadlines (make test-long)" in output
    assert "not run here: 1 × not today" in output
    assert "3 skipped" in output


def test_long_tests_run_when_asked(suite: Path) -> None:
    _, shown = run(suite, "--long")
    assert "R07" in shown


def test_flushing_tests_are_refused(suite: Path) -> None:
    """TRUNCATE would empty tables that migrations filled; stack trap 11."""
    offender = ROOT / "tests" / "pulsecloud" / f"test_offender_{os.getpid()}.py"
    offender.write_text(
        "import pytest\n@pytest.mark.django_db(transaction=True)\ndef test_it(): pass\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", str(offender)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    finally:
        offender.unlink()
    assert done.returncode != 0
    assert "would flush the database: use live_db" in done.stdout + done.stderr
