"""A whole running product for tests: `manage.py up` with ports, data directory and database of its own.

`product` is started once per test process and shared: make organisations of your own in it. While a
test has it, Django in the test process looks into its database, so models and verbs can be used
beside the public doors. `running_product(...)` starts one more, to be ill-treated or set up
differently.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings

from audit.actors import Actor
from pulsecloud.database import embedded
from pulsecloud.processes import alive, die_with_parent
from pulsecloud.proof.browser import Browser
from tenants import invitations
from tenants.models import Organisation
from tests import databases, secrets_seen
from tests.settings import CACHE
from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 90.0
STATIC = CACHE / "collected"


@dataclass
class Member:
    """A canary organisation and the browser of its owner, signed in on the base domain."""

    browser: Browser
    label: str
    email: str
    id: UUID
    host: str = ""

    @property
    def organisation(self) -> Organisation:
        """As it is in the database now."""
        return Organisation.objects.get(pk=self.id)


@dataclass
class Product:
    """One running product. `web` and `relay` are (host, port); `log` reads a process's log."""

    data_dir: Path
    web: tuple[str, int]
    relay: tuple[str, int]
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    output: Path
    database: str | None
    browsers: list[Browser] = field(default_factory=list)

    @property
    def public_url(self) -> str:
        return f"http://localhost:{self.web[1]}"

    def browser(self) -> Browser:
        """A fresh browser that dials this product; see pulsecloud.proof.browser."""
        with override_settings(WEB_ADDR=self.web, PUBLIC_URL=self.public_url):
            browser = Browser(timeout=20.0)
        self.browsers.append(browser)
        return browser

    def signed_up(self, name: str = "Example", *, enter: bool = False) -> Member:
        """Signs up a canary through the page and waits until it is active.

        With `enter` its owner is signed in on the organisation's host as well (`host`).
        """
        member = self.sign_up(name)
        until(lambda: self.state(member) not in ("requested", "provisioning"), 30)
        assert self.state(member) == "active", member.organisation.failure
        if enter:
            member.host = member.browser.enter(member.label)
        return member

    def sign_up(self, name: str = "Example") -> Member:
        """The same without waiting: the sign-up page was posted, provisioning is under way."""
        label = f"canary-{secrets.token_hex(6)}"
        email = f"{label}@canary.example.test"
        invited = invitations.invite(email=email, canary=True, actor=Actor.system("test"))
        secrets_seen.seen(invited.token, "invitation")
        browser = self.browser()
        page = browser.expect(200, "GET", "/signup")
        answer = browser.submit(
            page,
            path="/signup",
            email=email,
            org_name=name,
            host_label=label,
            invitation=invited.token,
        )
        assert answer.status_code == 303, answer.text
        organisation = Organisation.objects.get(label=label)
        return Member(browser, label, email, organisation.pk)

    def state(self, member: Member) -> str:
        """What the status page's JSON says; empty while `web` cannot answer."""
        try:
            answer = member.browser.request("GET", "/signup/status")
        except httpx.TransportError:
            return "provisioning"
        return str(answer.json()["state"]) if answer.status_code == 200 else "provisioning"

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a manage.py command in this product's environment."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def pids(self) -> dict[str, int]:
        """{process name: pid} of what runs now."""
        try:
            found: dict[str, int] = json.loads((self.data_dir / "up.json").read_text())
        except (OSError, ValueError):
            return {}
        return {name: pid for name, pid in found.items() if alive(pid)}

    def kill(self, name: str) -> int:
        """kill -9 of one process; returns its pid."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid), 5)
        return pid

    def kill_and_wait(self, name: str) -> int:
        """The same, and waits until the supervisor started it again; returns the new pid."""
        dead = self.kill(name)
        return until(lambda: self.pids().get(name, dead) != dead and self.pids()[name], 30)

    def log(self, name: str) -> str:
        path = self.data_dir / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        for browser in self.browsers:
            browser.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


@contextmanager
def running_product(
    *,
    database: str | None = None,
    without: tuple[str, ...] = (),
    **environment: str,
) -> Iterator[Product]:
    """Starts a product and waits until it is ready; stops it and removes its data at the end.

    Without `database` it has a PostgreSQL cluster of its own. `environment` overrides settings.
    When the test fails, everything stays where it is and the test says where.
    """
    data_dir = Path(tempfile.mkdtemp(prefix="pulsecloud-"))
    # Root's PostgreSQL runs as nobody: closed to it, its cluster would have to live elsewhere.
    data_dir.chmod(0o755)
    web, relay = free_port(), free_port()
    env = databases.environment(database) if database else dict(os.environ)
    env |= {
        "DJANGO_SETTINGS_MODULE": "pulsecloud.settings",
        "PULSECLOUD_DATA_DIR": str(data_dir),
        "PULSE_HOSTED_MODE": "true",
        "PULSECLOUD_WEB_ADDR": f"127.0.0.1:{web}",
        "PULSE_RELAY_ADDR": f"127.0.0.1:{relay}",
        "PULSECLOUD_PROVISIONING_PAUSE": "200ms",
        "PULSECLOUD_PROVE_EVERY": "0s",  # nobody else's canaries while a test counts
        "PULSECLOUD_DRILLS_EVERY": "0s",
        # The same keys as the test process, which may want to open what was sealed.
        "SECRET_KEY": settings.SECRET_KEY,
        "PULSECLOUD_ENCRYPTION_KEY": settings.ENCRYPTION_KEY,
        **environment,
    }
    env.pop("PROMETHEUS_MULTIPROC_DIR", None)
    _lend_static(data_dir / "static")
    output = data_dir / "up.out"
    command = [sys.executable, "manage.py", "up", "--logs", "files"]
    for name in without:
        command += ["--without", name]
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            preexec_fn=die_with_parent(),  # a killed test run leaves nothing running
        )
    product = Product(
        data_dir, ("127.0.0.1", web), ("127.0.0.1", relay), env, process, output, database
    )
    try:
        until(lambda: _ready(product), READY_SECONDS, every=0.1, what="the product is ready")
        _keep_static(data_dir / "static")
        yield product
    except BaseException:
        product.stop()
        print(f"the product's files are kept in {data_dir}\n{output.read_text()[-3000:]}")
        raise
    product.stop()
    secrets_seen.check(data_dir)
    shutil.rmtree(data_dir, ignore_errors=True)


def _lend_static(root: Path) -> None:
    """What an earlier product collected; `up` sees whether it still holds, and collects if not."""
    with databases.only_one("static.lock"):
        if STATIC.exists():
            shutil.copytree(STATIC, root)


def _keep_static(root: Path) -> None:
    """Collecting takes seconds, and every product would do the same again."""
    with databases.only_one("static.lock"):
        kept = STATIC / ".collected"
        if not kept.exists() or kept.read_bytes() != (root / ".collected").read_bytes():
            shutil.rmtree(STATIC, ignore_errors=True)
            shutil.copytree(root, STATIC)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def looking_into_its_own(product: Product) -> Iterator[None]:
    """The same for a product that has a PostgreSQL cluster of its own."""
    alias = connections["default"].settings_dict
    before = dict(alias)
    connections.close_all()
    alias.update(embedded(product.data_dir))
    try:
        yield
    finally:
        connections.close_all()
        alias.update({name: before[name] for name in embedded(product.data_dir)})


def _ready(product: Product) -> bool:
    if product.process.poll() is not None:
        raise AssertionError(f"the product ended:\n{product.output.read_text()[-3000:]}")
    return "Ready after" in product.output.read_text()


@pytest.fixture(scope="session")
def _product(worker_id: str, database_name: str) -> Iterator[Product]:
    name = databases.create(f"{worker_id}_product")
    try:
        with running_product(database=name) as product:
            yield product
    finally:
        connections.close_all()
        databases.drop(name)


@pytest.fixture
def product(_product: Product, live_db: None) -> Iterator[Product]:
    """The shared running product; models look into its database while the test runs."""
    assert _product.process.poll() is None, _product.output.read_text()[-2000:]
    assert _product.database is not None
    with databases.looking_into(_product.database):
        yield _product


def plain(answer: httpx.Response) -> dict[str, Any]:
    """What two answers must have in common to be uniform: status, body and telling headers."""
    telling = {
        name: value
        for name, value in answer.headers.items()
        if name not in ("date", "expires", "x-request-id", "set-cookie")
    }
    return {"status": answer.status_code, "body": answer.text, "headers": telling}
