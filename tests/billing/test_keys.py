"""Signing keys: made once, sealed at rest, rotated without a lease being refused."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from billing import keys, leases
from billing.models import SigningKey
from tenants import sealing
from tests import databases
from tests.billing.rows import paying

ACTOR = Actor.system("test")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def key_file(settings: Any, tmp_path: Path) -> Path:
    """The file that a development relay reads; no key in the environment."""
    path = tmp_path / "keys" / "entitlement.pub"
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY = ""
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = str(path)
    settings.PRODUCTION = False
    return path


@pytest.fixture
def production(settings: Any) -> Any:
    settings.PRODUCTION = True
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY = ""
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = ""
    return settings


def verifies(token: str, public_key: str) -> bool:
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key))
    try:
        jwt.decode(token, key, algorithms=["EdDSA"], audience=leases.AUDIENCE)
    except jwt.InvalidTokenError:
        return False
    return True


@pytest.mark.django_db
def test_made_once(key_file: Path) -> None:
    assert keys.ensure() == keys.ensure()
    assert SigningKey.objects.count() == 1
    assert Event.objects.filter(action="signing_key_made").count() == 1


@pytest.mark.django_db
def test_private_half_is_sealed(key_file: Path) -> None:
    key = keys.ensure()
    seed = keys.private_key(key).private_bytes_raw()
    stored = bytes(SigningKey.objects.get().sealed_private_key)
    assert seed not in stored
    assert base64.b64encode(seed) not in stored


@pytest.mark.django_db
def test_another_encryption_key_opens_nothing(key_file: Path, settings: Any) -> None:
    key = keys.ensure()
    settings.ENCRYPTION_KEY = base64.b64encode(os.urandom(32)).decode()
    with pytest.raises(sealing.SealError):
        keys.private_key(key)


@pytest.mark.django_db
def test_a_key_moved_to_another_row_does_not_open(key_file: Path) -> None:
    key = keys.ensure()
    other = keys.prepare(actor=ACTOR)
    other.sealed_private_key = key.sealed_private_key
    with pytest.raises(sealing.SealError):
        keys.private_key(other)


@pytest.mark.django_db
def test_development_keeps_the_relays_file_up(key_file: Path) -> None:
    first = keys.ensure()
    assert key_file.read_text().split() == [first.public_key]
    second = keys.rotate(actor=ACTOR)
    assert key_file.read_text().split() == [second.public_key, first.public_key]
    assert not list(key_file.parent.glob(".*"))  # no draft is left


@pytest.mark.django_db
def test_a_lost_file_is_written_again(key_file: Path) -> None:
    key = keys.ensure()
    key_file.unlink()
    keys.ensure()
    assert key_file.read_text().split() == [key.public_key]


@pytest.mark.django_db
def test_rotation_keeps_the_old_key_until_its_leases_ran_out(key_file: Path) -> None:
    old = keys.ensure()
    before = leases.issue(paying(), issued_for="runtime")
    new = keys.rotate(actor=ACTOR, reason="yearly")
    after = leases.issue(paying(), issued_for="runtime")
    assert verifies(before.token, old.public_key)
    assert verifies(after.token, new.public_key)
    assert not verifies(after.token, old.public_key)
    assert set(key_file.read_text().split()) == {old.public_key, new.public_key}
    old.refresh_from_db()
    assert old.retires_at is not None
    assert old.retires_at > before.expires_at

    SigningKey.objects.filter(pk=old.pk).update(retires_at=timezone.now() - timedelta(seconds=1))
    assert keys.forget_retired() == 1
    assert key_file.read_text().split() == [new.public_key]


@pytest.mark.django_db
def test_a_retiring_keys_private_half_is_gone(key_file: Path) -> None:
    old = keys.ensure()
    keys.rotate(actor=ACTOR)
    old.refresh_from_db()
    assert bytes(old.sealed_private_key) == b""
    with pytest.raises(sealing.SealError):
        keys.private_key(old)


@pytest.mark.django_db
def test_production_rotates_only_to_a_key_that_the_relay_knows(production: Any) -> None:
    keys.ensure()
    next_key = keys.prepare(actor=ACTOR)
    with pytest.raises(keys.RotationRefused, match="PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY"):
        keys.rotate(actor=ACTOR)
    # As some write it: URL-safe, without padding, among others.
    written = next_key.public_key.replace("+", "-").replace("/", "_").rstrip("=")
    production.RELAY_ENTITLEMENT_PUBLIC_KEY = f"AAAA, {written}"
    assert keys.rotate(actor=ACTOR).pk == next_key.pk


@pytest.mark.django_db
def test_a_refused_rotation_changes_nothing(production: Any) -> None:
    active = keys.ensure()
    with pytest.raises(keys.RotationRefused):
        keys.rotate(actor=ACTOR)
    assert list(SigningKey.objects.all()) == [active]


@pytest.mark.django_db
def test_a_leaked_key_can_be_replaced_at_once(production: Any) -> None:
    leaked = keys.ensure()
    assert keys.rotate(actor=ACTOR, reason="leaked", force=True).pk != leaked.pk
    assert Event.objects.get(action="signing_key_rotated").reason == "leaked"


@pytest.mark.django_db
def test_production_writes_no_file_by_itself(production: Any, tmp_path: Path) -> None:
    production.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = str(tmp_path / "entitlement.pub")
    keys.ensure()
    assert not (tmp_path / "entitlement.pub").exists()


def test_two_first_starts_make_one_key(live_db: None, key_file: Path) -> None:
    SigningKey.objects.all().delete()

    def ensure(_: int) -> str:
        try:
            return keys.ensure().kid
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ensure, range(8)))) == 1
    assert SigningKey.objects.count() == 1


def test_readers_never_see_half_a_file(live_db: None, key_file: Path) -> None:
    keys.ensure()
    seen: set[int] = set()
    stop = False

    def read() -> None:
        while not stop:
            text = key_file.read_text()
            assert text.endswith("\n")
            assert all(len(base64.b64decode(line)) == 32 for line in text.split())
            seen.add(len(text.split()))

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(read)
        try:
            for _ in range(20):
                keys.export(key_file)
        finally:
            stop = True
        reader.result()
    assert seen


@pytest.mark.django_db
class TestCommand:
    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
        call_command("keys", *arguments)
        return capsys.readouterr().out

    def test_lists_as_json(self, key_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.run(capsys, "ensure")
        listed = json.loads(self.run(capsys, "list", "--json"))
        assert [key["state"] for key in listed] == ["active"]
        self.run(capsys, "prepare")
        self.run(capsys, "rotate", "--reason", "yearly")
        listed = json.loads(self.run(capsys, "list", "--json"))
        assert [key["state"] for key in listed] == ["active", "retiring"]
        assert set(listed[0]) == {"kid", "public_key", "state", "created_at", "retires_at"}

    def test_says_what_to_do_when_there_is_none(
        self, key_file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "keys ensure" in self.run(capsys, "list")

    def test_exports(
        self, production: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        key = keys.ensure()
        assert self.run(capsys, "export").split() == [key.public_key]
        said = self.run(capsys, "export", "--to", str(tmp_path / "pub"))
        assert said == f"1 public key written to {tmp_path / 'pub'}.\n"
        assert (tmp_path / "pub").read_text() == f"{key.public_key}\n"

    def test_refuses_in_a_sentence(self, production: Any) -> None:
        keys.ensure()
        with pytest.raises(CommandError, match="does not know the next key"):
            call_command("keys", "rotate")


def test_the_command_runs_by_itself(live_db: None, database_name: str, tmp_path: Path) -> None:
    file = tmp_path / "entitlement.pub"
    done = subprocess.run(
        [sys.executable, "manage.py", "keys", "ensure", "--json"],
        cwd=ROOT,
        env=databases.environment(database_name)
        | {"PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY_FILE": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert listed[0]["public_key"] == SigningKey.objects.get(active=True).public_key
    assert connection.settings_dict["NAME"] == database_name
