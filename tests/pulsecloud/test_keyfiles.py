"""Keys that a development installation makes for itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pulsecloud import keyfiles
from pulsecloud.env import SettingError
from tests.product import ROOT
from tests.pulsecloud.people import ordinary_user


def test_made_once_for_the_owner_only(tmp_path: Path) -> None:
    first = keyfiles.ensure(tmp_path, "secret_key", production=False)
    assert keyfiles.ensure(tmp_path, "secret_key", production=False) == first
    assert len(first) >= 50
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / "secret_key").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in (tmp_path / "keys").iterdir()] == ["secret_key"]


def test_first_starts_at_once_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pulsecloud import keyfiles; "
        "print(keyfiles.ensure(Path(sys.argv[1]), 'encryption_key', production=False))"
    )
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    assert len({start.communicate()[0] for start in starts}) == 1


def test_production_makes_none(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"SECRET_KEY \(or SECRET_KEY_FILE\) must be set"):
        keyfiles.ensure(tmp_path, "secret_key", production=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.root
def test_directory_of_another_user_is_named() -> None:
    with ordinary_user() as person:
        data_dir = person.home / "var"
        keyfiles.ensure(data_dir, "secret_key", production=False)  # by root, an earlier run
        code = (
            "import sys; from pathlib import Path; from pulsecloud import keyfiles\n"
            "try: keyfiles.ensure(Path(sys.argv[1]), 'secret_key', production=False)\n"
            "except keyfiles.SettingError as error: print(error)"
        )
        process = person.popen(person.python, "-c", code, str(data_dir), stdout=subprocess.PIPE)
        said = process.communicate()[0]
    assert "belongs to another user" in said and "PULSECLOUD_DATA_DIR" in said
