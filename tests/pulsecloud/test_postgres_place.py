"""Where the embedded PostgreSQL lives, who may talk to it, and what it says when it cannot start."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pulsecloud import postgres, postgres_place
from tests.pulsecloud.people import (
    Person,
    connect,
    copy_code,
    ordinary_user,
    ourselves,
)


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    with ourselves() as who:
        yield who


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_socket_and_only_with_the_password(person: Person) -> None:
    data_dir = person.home / "var"
    driver = person.driver(data_dir)
    said = driver.start()
    assert mode(data_dir / "keys" / "postgres_password") == 0o600
    assert mode(Path(said["cluster"])) == 0o700
    assert mode(Path(said["socket"])) == 0o700
    with connect(data_dir, said["socket"]) as connection:
        assert connection.pgconn.used_password
        rules = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
        assert rules == [("scram-sha-256",)]
        for setting, value in (
            ("listen_addresses", ""),
            ("recovery_init_sync_method", "syncfs"),
            ("max_connections", "200"),
            ("max_locks_per_transaction", "512"),
        ):
            assert connection.execute(f"SHOW {setting}").fetchone() == (value,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(data_dir, said["socket"], password="guessed")
    environment = Path(f"/proc/{said['pid']}/environ").read_bytes()
    assert b"PYTHONPATH" not in environment, "the server inherits nothing of ours"
    driver.quit()


def test_long_paths_get_a_short_socket(person: Person) -> None:
    data_dir = person.home / ("long-" * 20) / "var"
    data_dir.mkdir(parents=True)
    driver = person.driver(data_dir)
    said = driver.start()
    assert len(f"{said['socket']}/.s.PGSQL.5432") <= 107
    assert said["cluster"].startswith(str(data_dir))
    connect(data_dir, said["socket"]).close()
    driver.quit()
    shutil.rmtree(Path(said["socket"]).parent if os.geteuid() == 0 else said["socket"])


def test_replaced_password_file_is_named(person: Person) -> None:
    data_dir = person.home / "replaced"
    driver = person.driver(data_dir)
    driver.start()
    driver.quit()
    (data_dir / "keys" / "postgres_password").write_text("another one\n")
    refused = person.driver(data_dir).say("start")
    assert "does not take the password" in refused["error"]


def test_settings_need_no_server_and_no_directory(tmp_path: Path) -> None:
    where = postgres.socket_dir(tmp_path / "not" / "there")
    assert not where.exists()


@pytest.mark.root
def test_closed_parent_moves_it_outside(person: Person) -> None:
    closed = person.home / "closed"
    closed.mkdir(mode=0o700)
    data_dir = closed / "clone" / "var"
    driver = person.driver(data_dir)
    said = driver.start()
    home = Path(said["cluster"]).parent
    assert home.parent == Path("/var/lib/pulsecloud")
    named = json.loads((data_dir / "postgres-place.json").read_text())
    assert named == {"data_dir": str(data_dir), "home": str(home)}
    assert mode(closed) == 0o700
    connect(data_dir, said["socket"]).close()
    driver.quit()
    # Opened later: the cluster stays where it is.
    closed.chmod(0o755)
    again = person.driver(data_dir)
    assert again.start()["cluster"] == said["cluster"]
    again.quit()


@pytest.mark.root
def test_a_directory_made_again_at_the_same_path_starts_anew(person: Person) -> None:
    """Somebody removes a clone and clones again: what the old one left outside is not in the way."""
    closed = person.home / "closed-twice"
    closed.mkdir(mode=0o700)
    data_dir = closed / "clone" / "var"
    homes = []
    for _ in range(2):
        driver = person.driver(data_dir)
        said = driver.start()
        connect(data_dir, said["socket"]).close()
        homes.append(Path(said["cluster"]).parent)
        driver.quit()
        shutil.rmtree(data_dir.parent)
    assert homes[0] != homes[1]
    assert (homes[0] / "cluster").exists(), "it may be a directory's that was only moved"
    for home in homes:
        shutil.rmtree(home)


@pytest.mark.root
def test_closed_packages_are_copied(person: Person) -> None:
    closed = person.home / "closed-packages"
    closed.mkdir(mode=0o700)
    careful = Person("root", person.home, path=copy_code(closed / "code"))
    data_dir = person.home / "copied"
    driver = careful.driver(data_dir)
    said = driver.start()
    program = Path(f"/proc/{said['pid']}/exe").resolve()
    assert program.is_relative_to(data_dir)
    assert mode(closed) == 0o700
    driver.quit()
    assert len(list((data_dir / "postgres").glob("binaries-*"))) == 1
    again = careful.driver(data_dir)
    again.start()
    again.quit()


@pytest.mark.root
def test_copied_clone_gets_a_cluster_of_its_own(person: Person) -> None:
    closed = person.home / "copied-clone"
    closed.mkdir(mode=0o700)
    driver = person.driver(closed / "one")
    first = driver.start()
    shutil.copytree(closed / "one", closed / "two")
    other = person.driver(closed / "two")
    second = other.start()
    assert second["cluster"] != first["cluster"]
    driver.quit()
    other.quit()
    # Moved, not copied: it finds its cluster.
    (closed / "one").rename(closed / "three")
    assert postgres.cluster_dir(closed / "three") == Path(first["cluster"])


@pytest.mark.root
def test_cluster_of_another_user_is_refused(person: Person) -> None:
    data_dir = person.home / "rooted"
    driver = person.driver(data_dir)
    driver.start()
    driver.quit()
    with ordinary_user() as other:
        subprocess.run(["chmod", "-R", "a+rwX", str(data_dir / "keys")], check=True)
        (data_dir / "logs").chmod(0o777)
        (data_dir / "logs" / "postgres.log").chmod(0o666)
        refused = other.driver(data_dir).say("start")
        assert "belongs to" in refused["error"]
        assert "choose another PULSECLOUD_DATA_DIR" in refused["error"]


@pytest.mark.root
def test_user_without_an_entry_is_told(person: Person) -> None:
    with ordinary_user() as other:
        nameless = Person("54321", other.home, 54321, 54321, other.python, other.path)
        os.chown(other.home, 54321, 54321)
        refused = nameless.driver(other.home / "var").say("start")
        assert "54321 has no entry in /etc/passwd" in refused["error"]


def test_no_mode_bit_is_ever_widened_on_what_exists(tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.mkdir(mode=0o700)
    postgres_place.make_directory(path, postgres_place.account(), mode=0o755, owned=False)
    assert mode(path) == 0o700
