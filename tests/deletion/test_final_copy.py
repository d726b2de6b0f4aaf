"""The last copy holds exactly what is removed, or nothing is removed (F66)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from rbac.models import Role
from tenants import schemas
from tenants.backups import keeping, making
from tenants.deletion import claims, final_copy, reaper
from tenants.models import (
    Backup,
    BackupKind,
    DeletionReceipt,
    Organisation,
    Removal,
    State,
)
from tests.deletion.aging import ACTOR, overdue, pass_time, reap, state_of

pytestmark = pytest.mark.django_db


def copies(organisation: Organisation) -> list[Backup]:
    return list(Backup.objects.filter(organisation=organisation, kind=BackupKind.FINAL))


def change(organisation: Organisation, name: str = "late") -> None:
    with schemas.in_schema(organisation):
        Role.objects.create(id=name, name=name)


@pytest.mark.covers("F66")
def test_is_there_until_the_day_that_the_receipt_names(settings: Any) -> None:
    organisation = overdue(days=1)
    reap(organisation)
    (copy,) = copies(organisation)
    assert making.path_of(copy).stat().st_size == copy.bytes
    receipt = DeletionReceipt.objects.get(organisation=organisation)
    assert receipt.copies_until == copy.expires_at
    days = (copy.expires_at - timezone.now()).total_seconds() / 86400
    assert settings.BACKUP_DAYS_AFTER_DELETION - 0.1 < days <= settings.BACKUP_DAYS_AFTER_DELETION
    said = receipt.document["copies"]
    assert (said["count"], said["final"]["sha256"]) == (1, copy.sha256)
    keeping.expire(copy.expires_at)
    assert not making.path_of(copy).exists()


@pytest.mark.covers("F66")
def test_data_that_changed_after_the_copy_is_copied_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    organisation = overdue(days=1)
    make, made = final_copy.make, []

    def then_changed(current: Organisation, **rest: Any) -> Backup:
        made.append(make(current, **rest))
        if len(made) == 1:
            change(current)
        return made[-1]

    monkeypatch.setattr(final_copy, "make", then_changed)
    assert reap(organisation).action == "deleted"
    assert len(made) == 2
    (kept,) = [copy for copy in copies(organisation) if copy.state == "done"]
    assert kept.pk == made[1].pk
    assert not making.path_of(made[0]).exists(), "the outdated copy goes at once"
    assert kept.manifest["parts"]["schema/rbac_role"]["rows"] == 5


@pytest.mark.covers("F66")
def test_data_that_never_rests_is_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = overdue(days=1)
    make = final_copy.make
    changes = iter("abcdefgh")

    def then_changed(current: Organisation, **rest: Any) -> Backup:
        copy = make(current, **rest)
        change(current, next(changes))
        return copy

    monkeypatch.setattr(final_copy, "make", then_changed)
    with pytest.raises(claims.ReapFailed, match="changed after the final copy"):
        reap(organisation)
    assert state_of(organisation) == State.PENDING_DELETION
    assert schemas.schema_exists(organisation.schema_name)
    assert next(changes) == "d", "three attempts"


@pytest.mark.covers("F66")
def test_without_a_copy_nothing_is_removed(settings: Any, backup_dir: Path) -> None:
    organisation = overdue(days=1)
    blocked = backup_dir / "not a folder"
    blocked.write_text("")
    settings.BACKUP_DIR = blocked
    with pytest.raises(claims.ReapFailed, match="nothing was removed"):
        reap(organisation)
    assert state_of(organisation) == State.PENDING_DELETION
    assert "nothing was removed" in Removal.objects.get(organisation=organisation).error
    settings.BACKUP_DIR = backup_dir
    pass_time(organisation, minutes=6)
    assert [each.action for each in reaper.sweep()] == ["deleted"]


@pytest.mark.covers("F66")
def test_a_copy_whose_file_is_gone_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = overdue(days=1)
    lost = making.back_up(organisation=organisation, kind=BackupKind.FINAL, actor=ACTOR)
    making.path_of(lost).unlink()
    reap(organisation)
    assert [copy.state for copy in copies(organisation) if copy.pk != lost.pk] == ["done"]


@pytest.mark.covers("F66")
def test_a_copy_whose_file_is_cut_off_is_none() -> None:
    """Written before a reaper was killed, and half of it lost with the disk since."""
    organisation = overdue(days=1)
    lost = making.back_up(organisation=organisation, kind=BackupKind.FINAL, actor=ACTOR)
    file = making.path_of(lost)
    file.write_bytes(file.read_bytes()[:100])
    reap(organisation)
    (kept,) = [copy for copy in copies(organisation) if copy.pk != lost.pk]
    receipt = DeletionReceipt.objects.get(organisation=organisation)
    assert kept.state == "done"
    assert receipt.document["copies"]["final"]["sha256"] == kept.sha256


def test_it_can_be_switched_off(settings: Any) -> None:
    settings.FINAL_BACKUP = "off"
    organisation = overdue(days=1)
    reap(organisation)
    assert copies(organisation) == []
    receipt = DeletionReceipt.objects.get(organisation=organisation)
    assert receipt.copies_until is None
    assert receipt.document["copies"] == {
        "count": 0, "encrypted": True, "until": None, "final": None,
    }  # fmt: skip


def test_one_that_lost_its_schema_can_be_deleted() -> None:
    from django.db import connection

    organisation = overdue(days=1)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f'DROP SCHEMA "{organisation.schema_name}" CASCADE')
    assert reap(organisation).action == "deleted"
    assert copies(organisation) == []
