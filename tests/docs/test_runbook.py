"""docs/runbook.md from the first start to the last stop, on a product that the page itself starts.

One organisation goes the whole way: hosted mode on, invited, provisioned, proved, suspended and
lifted, backed up, restored, deleted and restored within retention, purged, hosted mode off.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pulsecloud.processes import alive
from tests.docs import console
from tests.ops import rules
from tests.product import ROOT, free_port
from tests.waiting import until

PAGE = ROOT / "docs" / "runbook.md"
SECTIONS = (
    "Architecture",
    "Deploy",
    "Health",
    "Playbooks",
    "Objectives and alerts",
    "RBAC",
    "Backup, restore and deletion",
    "Limits",
    "Rollout policy",
)
PARTS = ("Detection", "SLA", "Immediate actions", "Investigation", "Resolution")
FIRST = "Before you begin"
P1, P2, P3 = (
    "P1: everybody, or anybody's data",
    "P2: some, or a safety net",
    "P3: slower than it should be",
)
# The order of a first day, with a night in it. Each line is a shell of its own.
JOURNEY = (
    ("Start",),
    ("Enable",),
    ("Invite",),
    ("3. Health", "Upgrade"),
    (P1, "Many organisations are being deleted"),
    (P2, "Many organisations are suspended", P3),
    ("6. RBAC", "Back up"),
    ("Restore",),
    ("Delete and restore within retention",),
    ("Raise and lower",),
    ("Purge",),
    ("Disable",),
    ("Stop",),
)


@dataclass
class Installation:
    """What an operator has: an environment file, and a shell in the checkout."""

    place: Path
    environment: dict[str, str]

    @property
    def pid(self) -> int | None:
        try:
            return int((self.place / "up.pid").read_text())
        except (OSError, ValueError):
            return None

    def follow(self, *sections: str) -> None:
        """Does what the page says under these headings."""
        headings = [FIRST, *sections]
        console.run(PAGE, env=self.environment, cwd=ROOT, sections=headings, seconds=400)

    def manage(self, *arguments: str) -> str:
        script = f'set -a; . "$ENV_FILE"; exec {sys.executable} manage.py "$@"'
        done = subprocess.run(
            ["bash", "-c", script, "manage", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def know_the_organisation(self) -> None:
        """The one organisation that was invited: what the page calls LABEL."""
        (found,) = json.loads(self.manage("organisation", "list", "--canaries", "--json"))
        self.environment["LABEL"] = found["label"]

    def lose_its_data(self) -> None:
        """What a bad statement in the wrong terminal does: nobody has a role any more."""
        label = self.environment["LABEL"]
        self.manage(
            "shell",
            "-c",
            "from rbac.models import Role, Assignment\n"
            "from tenants.models import Organisation\n"
            "from tenants.schemas import in_schema\n"
            f"with in_schema(Organisation.objects.get(label={label!r})):\n"
            "    Assignment.objects.all().delete(), Role.objects.all().delete()\n",
        )
        assert json.loads(self.manage("organisation", "show", label, "--json"))["state"] == "active"

    def let_the_retention_pass(self) -> None:
        """Asks for its deletion, as if that had been done two days ago with a day of retention."""
        label = self.environment["LABEL"]
        self.manage(
            *("organisation", "delete", label, "--retention-days", "1"), "--reason", "the contract ended"
        )  # fmt: skip
        self.manage(
            "shell",
            "-c",
            "from datetime import timedelta\n"
            "from django.db.models import F\n"
            "from tenants.models import Organisation, Removal\n"
            f"own = Organisation.objects.filter(label={label!r})\n"
            "days = timedelta(days=2)\n"
            "Removal.objects.filter(organisation__in=own).update(due_at=F('due_at') - days)\n"
            "own.update(deletion_requested_at=F('deletion_requested_at') - days)\n",
        )


@pytest.fixture
def installation() -> Iterator[Installation]:
    place = Path(tempfile.mkdtemp(prefix="pulsecloud-runbook-"))
    place.chmod(0o755)  # root's PostgreSQL runs as nobody
    (place / "export").mkdir()
    settings = {
        "PULSE_HOSTED_MODE": "false",
        "PULSECLOUD_DATA_DIR": str(place),
        "PULSECLOUD_WEB_ADDR": f"127.0.0.1:{free_port()}",
        "PULSE_RELAY_ADDR": f"127.0.0.1:{free_port()}",
        "SECRET_KEY": secrets.token_urlsafe(48),
    }
    (place / "env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    installation = Installation(
        place,
        {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "PYTHON": sys.executable,
            "ENV_FILE": str(place / "env"),
            "EXPORT_DIR": str(place / "export"),
            "LABEL": "",
        },
    )
    try:
        yield installation
    finally:
        pid = installation.pid
        if pid is not None and alive(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            until(lambda: not alive(pid), 40)
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.timeout(1500)  # four starts, a proof, drills and forty commands, each a process
def test_every_command_does_what_the_page_says(installation: Installation) -> None:
    for sections in JOURNEY:
        if sections == ("Restore",):
            installation.lose_its_data()
        if sections == ("Purge",):
            installation.let_the_retention_pass()
        try:
            installation.follow(*sections)
        except AssertionError:
            print((installation.place / "up.out").read_text(errors="replace")[-2000:])
            raise
        if sections == ("Invite",):
            installation.know_the_organisation()
    pid = installation.pid
    assert pid is not None
    until(lambda: not alive(pid), 30)  # it says that it stops, and then it ends


def test_the_journey_leaves_no_command_out() -> None:
    shown = {command.heading for command in console.commands(PAGE)}
    assert shown == {FIRST, *(heading for sections in JOURNEY for heading in sections)}


def test_it_has_nine_sections() -> None:
    found = re.findall(r"^## (\d)\. (.+)$", PAGE.read_text("utf-8"), re.M)
    assert [(int(number), title) for number, title in found] == list(enumerate(SECTIONS, 1))


@pytest.mark.parametrize("priority", ["P1", "P2", "P3", "P4"])
def test_every_playbook_has_its_five_parts_in_order(priority: str) -> None:
    text = PAGE.read_text("utf-8")
    start = text.index(f"\n### {priority}: ")
    part = text[start : text.index("\n### ", start + 1)]
    assert re.findall(r"^\*\*([^*]+)\.\*\*", part, re.M) == list(PARTS)


def test_an_alert_leads_to_every_entry() -> None:
    """That every alert has an entry is checked with the rules."""
    text = PAGE.read_text("utf-8")
    led = {alert["annotations"]["runbook_url"].rpartition("#")[2] for alert in rules.alerts()}
    led |= {f"slo-{slo}" for slo in rules.OBJECTIVES}
    entries = re.findall(r"^#### (.+)$", text, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", entry.lower()).replace(" ", "-") for entry in entries}
    assert anchors <= led


def test_links_lead_somewhere() -> None:
    text = PAGE.read_text("utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        page = PAGE.parent / file if file else PAGE
        assert page.exists(), target
        if anchor:
            assert anchor in rules.anchors(page), target


def test_alerts_that_it_names_exist() -> None:
    names = {alert["alert"] for alert in rules.alerts()}
    assert set(re.findall(r"`(Pulse[A-Z]\w+)`", PAGE.read_text("utf-8"))) <= names
