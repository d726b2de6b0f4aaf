"""The three commands: what they print, their codes, and that they change nothing when told so."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import Event
from rbac.models import Role
from tenants.models import Backup, Organisation
from tenants.schemas import in_schema
from tests.backups.filling import back_up, destroy_schema, file_of, filled, state_of
from tests.factories import make_organisation

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def said(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_a_lost_organisation_comes_back_by_command() -> None:
    organisation = filled()
    made = said("org_backup", organisation.label, "--reason", "before the night")["made"]
    assert [each["organisation"] for each in made] == [organisation.label]
    before = state_of(organisation)["schema/rbac_role"]
    destroy_schema(organisation)
    look = said("org_restore", organisation.label, "--dry-run")
    assert look["tables"]["rbac_role"] == {"now": None, "then": before[0]}
    text = run("org_restore", organisation.label, "--dry-run")
    assert "Its tables are gone: nothing is kept" in text
    text = run("org_restore", organisation.label, "--reason", "tables lost, ticket 12")
    assert "Put back as it was" in text and "phones pair again" in text
    assert state_of(organisation)["schema/rbac_role"] == before
    event = Event.objects.get(organisation=organisation.pk, action="org_data_restored")
    assert event.reason == "tables lost, ticket 12"


def test_a_dry_run_lists_what_would_change() -> None:
    organisation = filled()
    back_up(organisation)
    with in_schema(organisation):
        Role.objects.create(pk="of-today", name="Of today")
    before = state_of(organisation)
    text = run("org_restore", organisation.label, "--dry-run")
    assert "What it has now would be backed up first" in text
    assert "API tokens would be revoked, phones have to pair again, people sign in again." in text
    assert "Nothing was changed." in text
    assert "access: role of-today" in text
    assert state_of(organisation) == before


def test_lists_backups() -> None:
    organisation = filled()
    assert run("org_backup", organisation.label, "--list").strip() == "no backup"
    backup = back_up(organisation)
    (listed,) = said("org_backup", organisation.label, "--list")["backups"]
    assert (listed["id"], listed["state"]) == (str(backup.pk), "done")
    assert Path(listed["file"]) == file_of(backup)
    assert str(backup.pk) in run("org_backup", organisation.label, "--list")


def test_backs_up_all_and_says_who_could_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    first, lost = make_organisation(), make_organisation()
    canary = make_organisation(canary=True)
    would = said("org_backup", "--all", "--dry-run")["would_back_up"]
    assert {first.label, lost.label} <= set(would)
    assert canary.label not in would
    assert not Backup.objects.exists()
    destroy_schema(lost)
    with pytest.raises(CommandError, match=lost.label):
        run("org_backup", "--all")
    assert first.backups.get().state == "done"


def test_exports(tmp_path: Path) -> None:
    organisation = filled()
    made = said("org_export", organisation.label, "--to", str(tmp_path), "--format", "json")
    (file,) = made["files"]
    assert made["rows"]["memberships"] == 3
    assert json.loads(Path(file).read_text())["organisation"]["label"] == organisation.label
    assert "no secrets" in run("org_export", organisation.label, "--to", str(tmp_path / "new"))
    with pytest.raises(CommandError, match="could not be written"):
        run("org_export", organisation.label, "--to", "/proc/nowhere")


def test_refusals_say_what_to_do() -> None:
    organisation = make_organisation()
    for arguments, text in (
        (("org_restore", "nobody-there", "--reason", "x"), "no organisation nobody-there"),
        (("org_restore", organisation.label, "--reason", "x"), "--list"),
        (("org_restore", organisation.label, "--backup", "junk", "--reason", "x"), "--list"),
        (("org_backup",), "Name one organisation"),
        (("org_backup", organisation.label, "--all"), "Name one organisation"),
        (("org_export", "nobody-there", "--to", "/tmp"), "no organisation"),
    ):
        with pytest.raises(CommandError, match=text):
            run(*arguments)
    back_up(organisation)
    with pytest.raises(CommandError, match="missing_reason"):
        run("org_restore", organisation.label)
    other: Organisation = make_organisation()
    with pytest.raises(CommandError, match="no such backup"):
        run("org_restore", other.label, "--backup", str(organisation.backups.first().pk))  # type: ignore[union-attr]
