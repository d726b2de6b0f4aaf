"""Killed at any moment, a backup or a restore leaves nothing half-done, and the next run goes on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as live_settings
from django.db import connection, connections, transaction
from django.utils import timezone

from rbac.models import Role
from tenants import lifecycle, schemas, versions
from tenants.backups import keeping, loading, restoring
from tenants.models import Backup, BackupState, Organisation, State
from tenants.schemas import in_schema
from tests.backups.filling import ACTOR, back_up, destroy_schema, file_of, filled, state_of


def killed_at(point: str, work: Callable[[], object]) -> None:
    """Runs `work` in a process of its own, which is killed when it comes to that point."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            live_settings.FAULT = point
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def put_back(organisation: Organisation, backup: Backup) -> None:
    restoring.restore(organisation=organisation, backup=backup, actor=ACTOR, reason="lost")


def schemas_marked(organisation: Organisation) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspname FROM pg_namespace WHERE obj_description(oid, 'pg_namespace') LIKE %s",
            [f"%{organisation.pk}"],
        )
        return [name for (name,) in cursor.fetchall()]


def test_a_backup_that_was_killed_does_not_count(live_db: None) -> None:
    organisation = filled()
    killed_at("backup_written", lambda: back_up(organisation))
    backup = organisation.backups.get()
    assert backup.state == BackupState.RUNNING
    assert restoring.newest(organisation) is None
    keeping.tidy(timezone.now() + timedelta(hours=2))
    backup.refresh_from_db()
    assert (backup.state, file_of(backup).exists()) == (BackupState.FAILED, False)
    assert back_up(organisation).state == BackupState.DONE


@pytest.mark.covers("F64")
def test_killed_before_the_switch_everything_is_as_it_was(live_db: None) -> None:
    organisation = filled()
    backup = back_up(organisation)
    with in_schema(organisation):
        Role.objects.create(pk="of-today", name="Of today")
    before, schema = state_of(organisation), organisation.schema_name
    killed_at("restore_built", lambda: put_back(organisation, backup))
    organisation.refresh_from_db()
    assert organisation.schema_name == schema
    assert state_of(organisation) == before
    (left,) = schemas_marked(organisation)
    assert loading.drop_leftovers() >= 1
    assert not schemas.schema_exists(left) and schemas.schema_exists(schema)
    put_back(organisation, backup)  # and nothing is in its way


def test_what_a_killed_restore_left_goes_with_the_organisation(live_db: None) -> None:
    organisation = filled(canary=True)
    backup = back_up(organisation)
    killed_at("restore_built", lambda: put_back(organisation, backup))
    (left,) = schemas_marked(organisation)
    lifecycle.purge(organisation=organisation, actor=ACTOR)
    assert not schemas.schema_exists(left)
    assert not schemas.schema_exists(organisation.schema_name)


@pytest.mark.covers("F64")
def test_killed_after_the_switch_it_is_put_back(live_db: None) -> None:
    organisation = filled()
    backup = back_up(organisation)
    roles, old = state_of(organisation)["schema/rbac_role"], organisation.schema_name
    with in_schema(organisation):
        Role.objects.filter(pk="night-shift").delete()
    killed_at("restore_switched", lambda: put_back(organisation, backup))
    assert state_of(organisation)["schema/rbac_role"] == roles
    assert organisation.schema_name != old
    assert schemas_marked(organisation) == [old]
    loading.drop_leftovers()
    assert not schemas.schema_exists(old)
    assert schemas.schema_exists(organisation.schema_name)


def test_a_reader_of_the_old_tables_holds_nobody_up(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long report over the old tables: the switch happens, and they are dropped when it is over."""
    monkeypatch.setattr(loading, "LOCK_WAIT", "200ms")
    organisation = filled()
    backup, old = back_up(organisation), organisation.schema_name
    reading, done = threading.Event(), threading.Event()

    def read() -> None:
        try:
            with transaction.atomic(), in_schema(organisation):
                Role.objects.count()
                reading.set()
                assert done.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(30)
    put_back(Organisation.objects.get(pk=organisation.pk), backup)
    organisation.refresh_from_db()
    assert organisation.schema_name != old and schemas.schema_exists(old)
    loading.drop_leftovers()  # the worker does not wait for the report's end either
    assert schemas.schema_exists(old)
    done.set()
    thread.join(30)
    assert loading.drop_leftovers() >= 1
    assert not schemas.schema_exists(old)


def test_a_change_that_waited_for_the_switch_is_refused(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began in the old tables. Told that it was done, somebody would miss it afterwards."""
    monkeypatch.setattr(loading, "LOCK_WAIT", "200ms")
    organisation = filled()
    backup = back_up(organisation)

    def switch() -> None:
        try:
            put_back(Organisation.objects.get(pk=organisation.pk), backup)
        finally:
            connection.close()

    with pytest.raises(schemas.SchemaMissing), transaction.atomic(), in_schema(organisation):
        Role.objects.create(pk="late", name="Late")
        thread = threading.Thread(target=switch)
        thread.start()
        thread.join(60)
        versions.move_on(organisation.pk)
    organisation.refresh_from_db()
    with in_schema(organisation), transaction.atomic():
        versions.move_on(organisation.pk)
        assert not Role.objects.filter(pk="late").exists()
    assert loading.drop_leftovers() >= 1


def test_what_goes_on_in_the_transaction_waits_for_locks_as_before(live_db: None) -> None:
    """The reaper drops leftovers in the transaction in which it then drops what is the organisation's."""
    organisation = filled()
    backup = back_up(organisation)
    killed_at("restore_built", lambda: put_back(organisation, backup))

    def lock_timeout() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            (told,) = cursor.fetchone()
        return str(told)

    with transaction.atomic():
        before = lock_timeout()
        assert loading.drop_leftovers(of=organisation.pk) == 1
        assert lock_timeout() == before


def test_what_is_at_work_is_no_leftover(live_db: None) -> None:
    """The worker tidies up while a restore has built its schema and not switched yet."""
    organisation = filled()
    backup = back_up(organisation)
    dropped: list[int] = []

    def tidy() -> None:
        try:
            dropped.append(loading.drop_leftovers())
        finally:
            connection.close()

    compared = restoring._compared

    def meanwhile(*arguments: Any) -> Any:
        thread = threading.Thread(target=tidy)
        thread.start()
        thread.join(30)
        return compared(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(restoring, "_compared", meanwhile)
        put_back(organisation, backup)
    assert dropped == [0]


@pytest.mark.covers("F64")
def test_two_at_once_and_a_deletion_that_begins_meanwhile(live_db: None) -> None:
    organisation = filled()
    backup = back_up(organisation)
    said: list[str] = []

    def second() -> None:
        try:
            put_back(Organisation.objects.get(pk=organisation.pk), backup)
        except restoring.RestoreRefused as refused:
            said.append(refused.code)
        finally:
            connection.close()

    compared = restoring._compared

    def meanwhile(*arguments: Any) -> Any:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(30)
        Organisation.objects.filter(pk=organisation.pk).update(
            state=State.PURGING, state_before_deletion=State.ACTIVE,
            deletion_requested_at=timezone.now(), retention_days=1,
        )  # fmt: skip
        return compared(*arguments)

    before = organisation.schema_name
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(restoring, "_compared", meanwhile)
        with pytest.raises(restoring.RestoreRefused) as refused:
            put_back(organisation, backup)
    assert (said, refused.value.code) == (["restore_running"], "org_not_ready")
    organisation.refresh_from_db()
    assert organisation.schema_name == before
    assert schemas_marked(organisation) == []


def test_a_lost_organisation_can_be_put_back_by_another_process(
    live_db: None, database_name: str, directory: Path
) -> None:
    """As an operator would: `manage.py` in a shell, on the running database."""
    import subprocess
    import sys

    from tests import databases

    organisation = filled()
    roles = state_of(organisation)["schema/rbac_role"]
    environment = {
        **databases.environment(database_name),
        "PULSECLOUD_BACKUP_DIR": str(directory),
        "PULSECLOUD_DATA_DIR": str(live_settings.DATA_DIR),
    }

    def manage(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=databases.ROOT, env=environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    manage("org_backup", organisation.label)
    destroy_schema(organisation)
    text = manage("org_restore", organisation.label, "--reason", "tables lost")
    assert "Put back as it was" in text
    assert state_of(organisation)["schema/rbac_role"] == roles
