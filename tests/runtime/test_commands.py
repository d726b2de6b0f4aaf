"""`manage.py licence` and `manage.py switch_runtime`, as staff use them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import Event
from billing.models import RefreshToken
from relay.models import Registration
from tenants.models import Organisation, Runtime
from tests.relay_server.signing import LICENCE_KEY, licence
from tests.runtime.conftest import Tenant, make_tenant


@pytest.fixture
def tenant(db: None) -> Tenant:
    return make_tenant()


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue().strip()


def test_licence_is_attached_shown_and_detached(
    tenant: Tenant, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RELAY_PUBLIC_KEY = LICENCE_KEY
    label, file = tenant.organisation.label, tmp_path / "licence"
    token = licence(lid="lic-one")
    file.write_text(f"{token}\n")
    shown = f"{label}: licence lic-one"
    assert run("licence", "attach", label, "--file", str(file), "--reason", "paid") == shown
    monkeypatch.setattr("sys.stdin", io.StringIO(token))
    assert run("licence", "attach", label) == shown
    assert run("licence", "show", label) == shown
    assert run("licence", "detach", label) == f"{label}: no licence"
    event = Event.objects.filter(organisation=tenant.organisation.pk, reason="paid").get()
    assert event.action == "licence_attached"


def test_bad_licence_changes_nothing_and_is_not_quoted(
    tenant: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RELAY_PUBLIC_KEY = LICENCE_KEY
    monkeypatch.setattr("sys.stdin", io.StringIO("eyJsecret"))
    with pytest.raises(CommandError, match="invalid_licence") as refused:
        run("licence", "attach", tenant.organisation.label)
    assert "eyJsecret" not in str(refused.value)
    with pytest.raises(CommandError, match="cannot be read"):
        run("licence", "attach", tenant.organisation.label, "--file", "/does/not/exist")
    assert Registration.objects.get(organisation=tenant.organisation).sealed_licence is None


def test_external_runtime_gets_a_token_once_and_loses_it_again(tenant: Tenant) -> None:
    label = tenant.organisation.label
    token = run("switch_runtime", label, "external", "--reason", "own server")
    assert token.startswith("etr_hosted_")
    assert Organisation.objects.get(label=label).runtime == Runtime.EXTERNAL
    assert run("switch_runtime", label, "external") != token
    live = RefreshToken.objects.filter(organisation=tenant.organisation, revoked_at=None)
    assert live.count() == 1
    assert run("switch_runtime", label, "builtin") == ""
    assert live.count() == 0


def test_unknown_label_is_told(db: None) -> None:
    for command in (("licence", "show"), ("switch_runtime",)):
        with pytest.raises(CommandError, match="no organisation nobody"):
            run(*command, "nobody", *(["external"] if command == ("switch_runtime",) else []))
