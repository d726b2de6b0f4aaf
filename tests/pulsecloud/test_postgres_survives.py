"""The embedded PostgreSQL comes back after every kill -9, as root and as an ordinary user."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pulsecloud.processes import alive
from tests.pulsecloud.people import Person, connect, ordinary_user, ourselves, stop_process
from tests.waiting import until


@pytest.fixture(scope="module", params=["ourselves", "ordinary user"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with ourselves() if request.param == "ourselves" else ordinary_user() as who:
        yield who


@pytest.fixture(scope="module")
def data_dir(person: Person) -> Path:
    """One cluster for the whole file: each test finds it as the one before left it."""
    return person.home / "var"


def remember(data_dir: Path, socket: str, what: str) -> None:
    with connect(data_dir, socket) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (what text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [what])


def remembers(data_dir: Path, socket: str, what: str) -> bool:
    with connect(data_dir, socket) as connection:
        found = connection.execute("SELECT 1 FROM kept WHERE what = %s", [what]).fetchone()
        return found is not None


def test_is_a_child_with_its_own_user(person: Person, data_dir: Path) -> None:
    driver = person.driver(data_dir)
    said = driver.start()
    owner = Path(f"/proc/{said['pid']}").stat().st_uid
    assert owner != 0
    assert owner == Path(said["cluster"]).stat().st_uid
    if person.uid is not None:
        assert owner == person.uid
    driver.quit()
    assert not alive(said["pid"])


def test_killed_server(person: Person, data_dir: Path) -> None:
    driver = person.driver(data_dir)
    said = driver.start()
    remember(data_dir, said["socket"], "killed server")
    os.kill(said["pid"], signal.SIGKILL)
    assert driver.say("wait")["ended"]
    again = driver.start()
    assert again["pid"] != said["pid"]
    assert remembers(data_dir, again["socket"], "killed server")
    driver.quit()


def test_killed_server_that_nobody_waited_for(person: Person, data_dir: Path) -> None:
    """Its zombie keeps the lock file's process id alive; PostgreSQL refuses until it is gone."""
    driver = person.driver(data_dir)
    said = driver.start()
    os.kill(said["pid"], signal.SIGKILL)
    again = driver.start()
    assert again["pid"] != said["pid"]
    driver.quit()


def test_killed_owner_takes_the_server_along(person: Person, data_dir: Path) -> None:
    driver = person.driver(data_dir)
    said = driver.start()
    remember(data_dir, said["socket"], "killed owner")
    driver.kill()
    until(lambda: not alive(said["pid"]), 10, what="the server ended")
    log = (data_dir / "logs" / "postgres.log").read_text()
    assert "database system is shut down" in log.splitlines()[-1], "not a clean shutdown"


def test_new_owner_need_not_wait(person: Person, data_dir: Path) -> None:
    """Started at the very moment in which the old server is still shutting down."""
    first = person.driver(data_dir)
    second = person.driver(data_dir)
    old = first.start()
    busy = connect(data_dir, old["socket"])
    first.kill()
    new = second.start()
    assert remembers(data_dir, new["socket"], "killed owner")
    busy.close()
    second.quit()


def test_owner_and_server_killed_together(person: Person, data_dir: Path) -> None:
    first = person.driver(data_dir)
    said = first.start()
    with connect(data_dir, said["socket"]) as client:
        backend = client.info.backend_pid
        first.kill()
        os.kill(said["pid"], signal.SIGKILL)
        second = person.driver(data_dir)
        again = second.start()
    until(lambda: not alive(backend), 10, what="the old backend ended")
    assert remembers(data_dir, again["socket"], "killed owner")
    second.quit()


def test_killed_client(person: Person, data_dir: Path) -> None:
    driver = person.driver(data_dir)
    said = driver.start()
    code = (
        "import sys, psycopg; c = psycopg.connect(sys.argv[1]); "
        "c.execute('INSERT INTO kept VALUES (%s)', ['half done']); print('in', flush=True); input()"
    )
    word = (data_dir / "keys" / "postgres_password").read_text().strip()
    address = f"host={said['socket']} user=pulsecloud dbname=pulsecloud password={word}"
    client = subprocess.Popen(
        [sys.executable, "-c", code, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout and client.stdout.readline() == "in\n"
    stop_process(client)
    remember(data_dir, said["socket"], "after the client")
    assert not remembers(data_dir, said["socket"], "half done")
    assert alive(said["pid"])
    driver.quit()


def test_killed_backend(person: Person, data_dir: Path) -> None:
    """PostgreSQL restarts its own processes; the server as such stays."""
    driver = person.driver(data_dir)
    said = driver.start()
    with connect(data_dir, said["socket"]) as client:
        os.kill(client.info.backend_pid, signal.SIGKILL)

        def recovered() -> bool:
            try:
                return remembers(data_dir, said["socket"], "after the client")
            except psycopg.OperationalError:
                return False

        until(recovered, 10)
    assert alive(said["pid"])
    driver.quit()


def test_server_that_outlived_its_owner_is_used(person: Person, data_dir: Path) -> None:
    """As where the kernel cannot tell it of its owner's death: it is found and taken over."""
    driver = person.driver(data_dir)
    said = driver.start()
    command = Path(f"/proc/{said['pid']}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    driver.quit()
    account = Path(said["cluster"]).stat()
    orphan = subprocess.Popen(
        [part.decode() for part in command],
        user=account.st_uid if os.geteuid() == 0 else None,
        group=account.st_gid if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
        cwd="/",
        stderr=subprocess.DEVNULL,
    )
    try:

        def answers() -> bool:
            try:
                connect(data_dir, said["socket"]).close()
                return True
            except psycopg.OperationalError:
                return False

        until(answers, 10)
        other = person.driver(data_dir)
        found = other.start()
        assert found["found"] and found["pid"] == orphan.pid
        other.quit()  # owning it means stopping it
        assert orphan.wait(10) == 0
    finally:
        orphan.kill()


def test_lock_file_of_a_stranger_is_left_alone(person: Person, data_dir: Path) -> None:
    """After a restart of the machine the lock file may name a process that is something else."""
    driver = person.driver(data_dir)
    said = driver.start()
    os.kill(said["pid"], signal.SIGKILL)
    driver.say("wait")
    lock = Path(said["cluster"]) / "postmaster.pid"
    account = lock.stat()
    stranger = subprocess.Popen(
        ["sleep", "60"],
        user=account.st_uid if os.geteuid() == 0 else None,
    )
    try:
        lines = lock.read_text().splitlines(keepends=True)
        lock.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
        refused = driver.say("start 1")
        assert f"process {stranger.pid}" in refused["error"] and "'sleep'" in refused["error"]
        assert shlex.quote(str(lock)) in refused["error"]
        assert lock.exists()
    finally:
        stranger.kill()
        stranger.wait()
    driver.start()
    driver.quit()


def test_half_made_cluster_is_made_again(person: Person) -> None:
    data_dir = person.home / "half"
    driver = person.driver(data_dir)
    said = driver.start()
    driver.quit()
    cluster = Path(said["cluster"])
    draft = cluster.with_name("cluster.new")
    cluster.rename(draft)
    (draft / "PG_VERSION").unlink()
    again = person.driver(data_dir)
    assert alive(again.start()["pid"])
    assert not draft.exists()
    again.quit()
