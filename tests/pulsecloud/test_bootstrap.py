"""From a bare checkout: no make, no pip, and a plain sentence when something is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.product import ROOT

PRELUDE = "import sys, runpy; sys.argv = ['bootstrap.py', {verb!r}]; {before}; runpy.run_path({path!r}, run_name='__main__')"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing to install."""
    shutil.copy(ROOT / "bootstrap.py", tmp_path)
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    (tmp_path / "requirements-dev.txt").write_text("-r requirements.txt\n")
    return tmp_path


def bootstrap(
    checkout: Path, verb: str, *, before: str = "pass", path: str = "/usr/bin:/bin"
) -> str:
    """What the verb says; `before` runs in the same interpreter first."""
    code = PRELUDE.format(verb=verb, before=before, path=str(checkout / "bootstrap.py"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout,
        env={"PATH": path, "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
    )
    return f"{done.stdout}{done.stderr}exit {done.returncode}"


def test_make_and_bootstrap_know_the_same_verbs() -> None:
    listed = re.search(r"^VERBS := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    said = subprocess.run(
        [sys.executable, "bootstrap.py", "help"], cwd=ROOT, capture_output=True, text=True
    )
    assert listed and said.returncode == 0
    assert re.findall(r"^  (\S+) ", said.stdout, re.M) == listed[1].split()


def test_unknown_verb(checkout: Path) -> None:
    said = bootstrap(checkout, "fly")
    assert "usage:" in said and said.endswith("exit 2")


def test_missing_venv_module_names_the_one_package(checkout: Path) -> None:
    said = bootstrap(checkout, "setup", before="sys.modules['ensurepip'] = None")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"apt-get install python{version}-venv" in said
    assert said.endswith("exit 1") and "Traceback" not in said


def test_old_python_is_told(checkout: Path) -> None:
    said = bootstrap(checkout, "setup", before="sys.version_info = (3, 9, 2)", path=str(checkout))
    assert "needs Python 3.11 or newer, and this is 3.9" in said
    assert said.endswith("exit 1") and "Traceback" not in said


def test_set_up_once_then_nothing_to_do(checkout: Path) -> None:
    first = bootstrap(checkout, "setup")
    assert "virtual environment" in first and first.endswith("exit 0")
    assert (checkout / ".venv" / "bin" / "python").exists()
    assert bootstrap(checkout, "setup") == "exit 0"
    # Other requirements: installed again, into the same environment.
    (checkout / "requirements.txt").write_text("# nothing else\n")
    again = bootstrap(checkout, "setup")
    assert "packages of requirements.txt" in again and "virtual environment" not in again


def test_half_made_environment_is_made_again(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    said = bootstrap(checkout, "setup")
    assert "virtual environment" in said and said.endswith("exit 0")


def test_settings_page_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "settings_reference", "--check"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "pulsecloud.settings"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("fails", "code"), [("beside others", 0), ("always", 1)])
def test_what_fails_beside_others_is_run_once_more_by_itself(
    tmp_path: Path, fails: str, code: int
) -> None:
    """A promise in seconds may be broken by the tests beside it; one that is broken stays broken."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--covers-to')\n"
    )
    condition = "'PYTEST_XDIST_WORKER' not in os.environ" if fails == "beside others" else "False"
    (tmp_path / "test_it.py").write_text(
        f"import os\n\ndef test_hurried():\n    assert {condition}\n\ndef test_sound():\n    pass\n"
    )
    script = (
        "import sys, pathlib, bootstrap\n"
        "bootstrap.setup = lambda dev: None\n"
        "bootstrap.ROOT = pathlib.Path.cwd()\n"
        "bootstrap.FAILED = bootstrap.ROOT / '.pytest_cache/v/cache/lastfailed'\n"
        "bootstrap.PYTHON = sys.executable\n"
        "bootstrap.test([])\n"
    )
    own = ("PYTEST_", "DJANGO_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "now by themselves:\n  test_it.py::test_hurried" in done.stdout
    assert ("Passed, but only by themselves: the 1 named above" in done.stdout) == (code == 0)
