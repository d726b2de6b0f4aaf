"""System checks: each fact that must stop a start does, and says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core import checks as django_checks

from billing import keys
from billing.models import SigningKey
from pulsecloud import checks
from relay.models import Registration
from tests.factories import make_organisation
from tests.product import ROOT

EXAMPLE = ROOT / "ops" / "production.env.example"


def example() -> dict[str, str]:
    lines = EXAMPLE.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
    )


def check_production(tmp_path: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    environment = {**example(), "PULSECLOUD_DATA_DIR": str(tmp_path), **changed}
    environment = {name: value for name, value in environment.items() if value}
    return manage("check", "--deploy", "--fail-level", "WARNING", **environment)


def test_example_environment_passes(tmp_path: Path) -> None:
    done = check_production(tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("PULSE_BASE_DOMAIN", "", "pulsecloud.E010"),
        ("PULSE_PUBLIC_URL", "", "pulsecloud.E011"),
        ("PULSE_PUBLIC_URL", "http://cloud.example.com", "pulsecloud.E011"),
        ("PULSE_PUBLIC_URL", "https://other.example.com", "pulsecloud.E012"),
        ("PULSE_RELAY_PUBLIC_URL", "", "pulsecloud.E013"),
        ("PULSE_RELAY_PUBLIC_URL", "ws://relay.example.com", "pulsecloud.E013"),
        ("METRICS_TOKEN", "", "pulsecloud.E014"),
        ("EMAIL_URL", "", "pulsecloud.E015"),
        ("PULSE_RELAY_ENTITLEMENT_PUBLIC_KEY", "", "pulsecloud.E016"),
        ("TRUSTED_PROXIES", "", "pulsecloud.W017"),
        ("PULSECLOUD_ENCRYPTION_KEY", "c2hvcnQ=", "pulsecloud.E003"),
    ],
)
def test_production_needs(tmp_path: Path, variable: str, value: str, found: str) -> None:
    done = check_production(tmp_path, **{variable: value})
    assert done.returncode == 1
    assert found in done.stderr and "HINT" in done.stderr


@pytest.mark.parametrize("variable", ["SECRET_KEY", "PULSECLOUD_ENCRYPTION_KEY"])
def test_production_takes_keys_from_the_environment_only(tmp_path: Path, variable: str) -> None:
    done = check_production(tmp_path, **{variable: ""})
    assert done.returncode == 1
    assert f"PulseCloud cannot start: {variable} (or {variable}_FILE) must be set" in done.stderr
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("variable", ["PULSE_BASE_DOMAIN", "PULSECLOUD_WEB_ADDR"])
def test_what_makes_it_production(tmp_path: Path, variable: str) -> None:
    """Another base domain, or web on an address that is not loopback, without saying production."""
    value = {"PULSE_BASE_DOMAIN": "cloud.example.com", "PULSECLOUD_WEB_ADDR": "0.0.0.0:8000"}
    done = manage("check", PULSECLOUD_DATA_DIR=str(tmp_path), **{variable: value[variable]})
    assert "must be set in production" in done.stderr


def test_published_secrets_start_nothing(tmp_path: Path) -> None:
    done = manage("up", **{**example(), "PULSECLOUD_DATA_DIR": str(tmp_path)})
    assert done.returncode == 1
    assert "SECRET_KEY is the example that everybody can read" in done.stderr
    assert not (tmp_path / "postgres").exists() and not (tmp_path / "up.lock").exists()


def test_open_key_file_is_refused(tmp_path: Path) -> None:
    environment = {"PULSECLOUD_DATA_DIR": str(tmp_path)}
    assert manage("check", **environment).returncode == 0
    (tmp_path / "keys" / "secret_key").chmod(0o644)
    done = manage("check", **environment)
    assert done.returncode == 1 and "pulsecloud.E020" in done.stderr


@pytest.mark.covers("F09")
@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
def test_second_database_alias_is_refused(settings: Any) -> None:
    assert not list(checks.wiring(None))
    settings.DATABASES = {**settings.DATABASES, "replica": settings.DATABASES["default"]}
    assert [found.id for found in checks.wiring(None)] == ["pulsecloud.E001"]


def stored() -> set[str]:
    return {found.id or "" for found in checks.stored_facts(None, databases=["default"])}


@pytest.fixture
def signer(db: None, settings: Any) -> SigningKey:
    """A lease signer whose key the relay knows."""
    key = keys.ensure()
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY = key.public_key
    return key


def test_nothing_to_complain_about(signer: SigningKey) -> None:
    make_organisation()
    assert stored() == set()


def test_runs_only_when_asked_for_the_database() -> None:
    assert checks.stored_facts(None) == []
    assert checks.stored_facts in django_checks.registry.registry.registered_checks


@pytest.mark.covers("F79")
def test_relay_without_the_signers_key(signer: SigningKey, settings: Any, tmp_path: Path) -> None:
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY = "c29tZSBvdGhlciBrZXkgb2YgMzIgYnl0ZXMgbGVuZ3Q="
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = ""
    assert stored() == {"pulsecloud.E032"}
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY = ""
    (found,) = checks.stored_facts(None, databases=["default"])
    assert found.id == "pulsecloud.E030"
    assert signer.public_key in str(found.hint), "the remedy can be pasted"


def test_signer_without_a_key(signer: SigningKey) -> None:
    SigningKey.objects.all().delete()
    assert stored() == {"pulsecloud.E031"}


@pytest.mark.covers("F77")
def test_active_organisation_without_registration(signer: SigningKey) -> None:
    organisation = make_organisation()
    Registration.objects.filter(organisation=organisation).delete()
    (found,) = checks.stored_facts(None, databases=["default"])
    assert found.id == "pulsecloud.E033"
    assert organisation.label in found.msg


def test_secret_in_clear(signer: SigningKey) -> None:
    organisation = make_organisation()
    Registration.objects.filter(organisation=organisation).update(sealed_identity_key=b"k" * 32)
    (found,) = checks.stored_facts(None, databases=["default"])
    assert found.id == "pulsecloud.E040"
    assert "relay.Registration.sealed_identity_key" in found.msg
