"""How long backups stay, who is due for one, and what is tidied up."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from tenants import lifecycle, residue
from tenants.backups import keeping, making, tasks
from tenants.models import Backup, BackupKind, BackupState, Organisation, State
from tests.backups.filling import ACTOR, back_up, failed_so_far, file_of
from tests.factories import make_organisation, make_user

pytestmark = pytest.mark.django_db
NOW = timezone.now


def aged(backup: Backup, days: int) -> Backup:
    """As if it had been made that long ago."""
    made = NOW() - timedelta(days=days)
    backup.made_at, backup.expires_at = made, keeping.expiry(BackupKind(backup.kind), made)
    backup.save()
    return backup


def test_is_removed_when_its_time_is_over() -> None:
    organisation = make_organisation()
    old, new = aged(back_up(organisation), 31), aged(back_up(organisation), 29)
    assert keeping.expire() == 1
    old.refresh_from_db()
    assert (old.state, file_of(old).exists()) == (BackupState.REMOVED, False)
    assert old.removed_at is not None and old.manifest["parts"]
    new.refresh_from_db()
    assert (new.state, file_of(new).exists()) == (BackupState.DONE, True)
    assert keeping.expire() == 0


def test_the_newest_of_a_living_organisation_stays_however_old() -> None:
    last = aged(back_up(make_organisation()), 300)
    assert keeping.expire() == 0
    assert file_of(last).exists()


def test_what_was_there_before_a_restore_is_no_good_backup() -> None:
    """It may hold the very damage: it neither ends the last good one's time, nor puts off the next."""
    organisation = make_organisation()
    last = aged(back_up(organisation), 40)
    aged(back_up(organisation, BackupKind.BEFORE_RESTORE), 0)
    assert keeping.expire() == 0
    assert file_of(last).exists()
    assert keeping.due().filter(pk=organisation.pk).exists()
    Organisation.objects.exclude(pk=organisation.pk).update(canary=False, state=State.REQUESTED)
    age = keeping.oldest_age()
    assert age is not None and age > timedelta(days=39).total_seconds()


def test_the_last_one_whose_file_is_there_stays() -> None:
    organisation = make_organisation()
    there, lost = aged(back_up(organisation), 40), aged(back_up(organisation), 2)
    file_of(lost).unlink()
    assert keeping.expire() == 0
    assert file_of(there).exists()
    back_up(organisation)
    assert keeping.expire() == 1


def test_a_file_that_cannot_be_removed_holds_up_no_other(directory: Path) -> None:
    stuck, other = make_organisation(), make_organisation()
    for organisation in (stuck, other):
        aged(back_up(organisation), 31)
        back_up(organisation)
    backup = stuck.backups.earliest("made_at")
    file_of(backup).unlink()
    file_of(backup).mkdir()
    assert keeping.expire() == 1
    backup.refresh_from_db()
    assert backup.state == BackupState.DONE
    assert other.backups.earliest("made_at").state == BackupState.REMOVED


def test_after_a_deletion_copies_remain_until_the_date_that_is_told() -> None:
    organisation = make_organisation()
    backup = back_up(organisation)
    until = keeping.expire_after_deletion(organisation)
    assert timedelta(days=6.9) < until - NOW() < timedelta(days=7.1)
    assert keeping.expire_after_deletion(organisation) == until
    Organisation.objects.filter(pk=organisation.pk).update(state=State.DELETED, deleted_at=NOW())
    assert keeping.expire(until - timedelta(hours=1)) == 0
    assert keeping.expire(until + timedelta(seconds=1)) == 1
    assert not file_of(backup).exists()
    assert not Backup.objects.filter(organisation=organisation).exists()


def test_a_date_never_moves_away_and_none_means_now() -> None:
    organisation = make_organisation()
    aged(back_up(organisation), 29)
    assert keeping.expire_after_deletion(organisation) - NOW() < timedelta(days=1.1)
    assert abs(keeping.expire_after_deletion(make_organisation()) - NOW()) < timedelta(seconds=5)


def test_a_canary_leaves_no_copy(django_capture_on_commit_callbacks: Any) -> None:
    owner = make_user()
    owner.set_unusable_password()
    owner.save()
    canary = make_organisation(canary=True, owner=owner)
    file = file_of(back_up(canary))
    with django_capture_on_commit_callbacks(execute=True):
        until = keeping.expire_after_deletion(canary)
        assert file.exists()  # until the deletion is certain
    assert until <= NOW()
    assert not file.exists()
    assert not Backup.objects.filter(organisation=canary).exists()
    assert lifecycle.purge(organisation=canary, actor=ACTOR).state == State.DELETED
    assert residue.residue(canary.pk) == []


def test_a_backup_that_a_deletion_overtakes_leaves_no_copy(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receipt counted the copies when the organisation was buried."""
    canary = make_organisation(canary=True)
    read_back = making._read_back

    def slowly(backup: Backup) -> None:
        read_back(backup)
        lifecycle.purge(organisation=canary, actor=ACTOR)

    monkeypatch.setattr(making, "_read_back", slowly)
    with pytest.raises(making.BackupFailed, match="deleted meanwhile"):
        back_up(canary)
    assert not Backup.objects.filter(organisation=canary).exists()
    folder = directory / str(canary.pk)
    assert not folder.exists() or not list(folder.iterdir())


def test_a_date_that_a_deletion_brought_forward_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = make_organisation()
    read_back = making._read_back

    def slowly(backup: Backup) -> None:
        read_back(backup)
        keeping.expire_after_deletion(organisation)

    monkeypatch.setattr(making, "_read_back", slowly)
    backup = back_up(organisation)
    assert backup.expires_at - NOW() < timedelta(days=7.1)
    assert backup.expires_at == Backup.objects.get(pk=backup.pk).expires_at


def test_who_is_due() -> None:
    never, fresh, old = make_organisation(), make_organisation(), make_organisation()
    shut, canary = make_organisation(State.SUSPENDED), make_organisation(canary=True)
    back_up(fresh)
    aged(back_up(old), 2)
    failed, failed_long_ago = make_organisation(), make_organisation()
    for organisation, hours in ((failed, 0.5), (failed_long_ago, 2)):
        Backup.objects.create(
            organisation=organisation, kind="daily", state="failed", expires_at=NOW(),
            made_at=NOW() - timedelta(hours=hours),
        )  # fmt: skip
    requested = make_organisation(State.REQUESTED)
    due = set(keeping.due())
    assert {never, old, shut, failed_long_ago} <= due
    assert not {fresh, canary, failed, requested} & due


def test_the_job_backs_up_each_once_and_goes_on_after_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, broken, last = (make_organisation() for _ in range(3))
    write = making._write

    def failing(organisation: Organisation, backup: Backup) -> Any:
        if organisation == broken:
            raise OSError(28, "No space left on device")
        return write(organisation, backup)

    monkeypatch.setattr(making, "_write", failing)
    for _ in range(2):
        tasks.back_up_due(timestamp=0)
    states = {
        organisation: list(organisation.backups.values_list("kind", "state"))
        for organisation in (first, broken, last)
    }
    assert states == {
        first: [("daily", "done")],
        broken: [("daily", "failed")],
        last: [("daily", "done")],
    }
    assert "No space left" in broken.backups.get().error


def test_a_pass_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    organisations = [make_organisation() for _ in range(3)]
    monkeypatch.setattr(tasks, "PASS_SECONDS", 0.0)
    tasks.back_up_due(timestamp=0)
    assert Backup.objects.filter(organisation__in=organisations).count() == 1


def test_what_killed_processes_left_is_tidied_up(directory: Path) -> None:
    organisation = make_organisation()
    backup = back_up(organisation)
    running = Backup.objects.create(
        organisation=organisation, kind="daily", expires_at=NOW(), file=f"{organisation.pk}/x.pcbk",
        made_at=NOW() - timedelta(hours=2),
    )  # fmt: skip
    stray = directory / str(organisation.pk) / "y.pcbk.part"
    unknown = directory / str(organisation.pk) / "z.pcbk"
    for file in (making.path_of(running), stray, unknown):
        file.write_bytes(b"half")
        os.utime(file, (0, 0))
    failures = failed_so_far()
    assert keeping.tidy() == 2
    assert failed_so_far() == failures + 1  # a worker that is killed each time fails each time
    running.refresh_from_db()
    assert running.state == BackupState.FAILED
    assert file_of(backup).exists() and unknown.exists()
    assert not stray.exists() and not making.path_of(running).exists()


def test_the_age_of_the_oldest_latest_backup() -> None:
    Organisation.objects.filter(state=State.ACTIVE).update(state=State.SUSPENDED)
    assert keeping.oldest_age() is None
    first, second = make_organisation(), make_organisation()
    for days in (9, 2):
        aged(back_up(first), days)
    back_up(second)
    age = keeping.oldest_age()
    assert age is not None and timedelta(days=2) <= timedelta(seconds=age) < timedelta(days=2.1)
