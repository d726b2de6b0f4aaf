"""A backup is one encrypted file of one moment, read back before it counts."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import OperationalError, connection

from audit.models import Event
from rbac.models import ApiToken, Role
from tenants import schemas
from tenants.backups import archive, contents, keeping, making
from tenants.models import Backup, BackupKind, BackupState, Organisation, State
from tenants.schemas import in_schema
from tests.backups.filling import (
    ACTOR,
    back_up,
    destroy_schema,
    failed_so_far,
    file_of,
    filled,
    state_of,
)
from tests.factories import make_organisation, make_token, owner_of


@pytest.mark.django_db
def test_holds_every_table_of_the_schema_and_the_rows_in_public() -> None:
    organisation = filled()
    with in_schema(organisation):
        tables = {model._meta.db_table for model in apps.get_app_config("rbac").get_models()}
        tokens, roles = ApiToken.objects.count(), Role.objects.count()
    backup = back_up(organisation)
    assert backup.state == BackupState.DONE
    parts = backup.manifest["parts"]
    assert {name for name in parts if name.startswith("schema/")} == {f"schema/{t}" for t in tables}
    assert parts["schema/rbac_apitoken"]["rows"] == tokens
    assert parts["schema/rbac_role"]["rows"] == roles
    assert parts["public/tenants.membership"]["rows"] == 3
    assert parts["public/tenants.ssoprovider"]["rows"] == 1
    assert parts["public/relay.registration"]["rows"] == 1
    assert backup.rows == sum(part["rows"] for part in parts.values())
    assert backup.bytes == file_of(backup).stat().st_size


@pytest.mark.django_db
def test_nothing_of_anybody_can_be_read_in_the_file() -> None:
    organisation = filled()
    token = make_token(organisation)
    text = file_of(back_up(organisation)).read_bytes()
    for secret in (organisation.label, str(owner_of(organisation).email), "night-shift", token[:8]):
        assert secret.encode() not in text
    assert stat.S_IMODE(file_of(back_up(organisation)).stat().st_mode) == 0o600


@pytest.mark.django_db
def test_two_of_the_same_data_differ_as_files_and_agree_in_what_they_hold() -> None:
    organisation = filled()
    first, second = back_up(organisation), back_up(organisation)
    assert first.manifest["parts"] == second.manifest["parts"]
    assert file_of(first).read_bytes()[-100:] != file_of(second).read_bytes()[-100:]


@pytest.mark.django_db
@pytest.mark.covers("F66")
def test_knows_whether_the_data_changed_since() -> None:
    organisation = filled()
    backup = back_up(organisation)
    Organisation.objects.filter(pk=organisation.pk).update(state=State.PURGING)
    assert making.still_matches(backup)
    with in_schema(organisation):
        Role.objects.filter(pk="night-shift").update(description="changed")
    assert not making.still_matches(backup)


@pytest.mark.django_db
def test_is_in_the_trail_with_its_reason_unless_daily() -> None:
    organisation = filled()
    backup = back_up(organisation)
    event = Event.objects.get(organisation=organisation.pk, action="org_backed_up")
    assert (event.reason, (event.after or {})["backup"]) == ("a test", str(backup.pk))
    back_up(organisation, BackupKind.DAILY)
    assert Event.objects.filter(organisation=organisation.pk, action="org_backed_up").count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("state", [State.SUSPENDED, State.PENDING_DELETION])
def test_works_for_one_that_is_shut(state: str) -> None:
    assert back_up(make_organisation(state)).state == BackupState.DONE


@pytest.mark.django_db
def test_refuses_what_has_nothing_to_keep() -> None:
    with pytest.raises(making.BackupFailed) as refused:
        back_up(make_organisation(State.REQUESTED))
    assert refused.value.code == "nothing_to_keep"
    lost = make_organisation()
    destroy_schema(lost)
    with pytest.raises(making.BackupFailed) as refused:
        back_up(lost)
    assert refused.value.code == "schema_missing"
    # Somebody's data is lost: that is a failure for everybody to see, and not tried every minute.
    assert Backup.objects.get(organisation=lost).state == BackupState.FAILED
    assert not keeping.due().filter(pk=lost.pk).exists()


@pytest.mark.django_db
def test_a_full_or_missing_disk_is_said_and_leaves_no_file(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("in the way")
    settings.BACKUP_DIR = tmp_path / "a-file"
    organisation = make_organisation()
    with pytest.raises(making.BackupFailed) as refused:
        back_up(organisation)
    assert refused.value.code == "not_written"
    backup = Backup.objects.get(organisation=organisation)
    assert backup.state == BackupState.FAILED
    assert "Not a directory" in backup.error


@pytest.mark.django_db
def test_what_cannot_be_read_back_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that loses the end of a file, say."""
    organisation = make_organisation()
    replace = Path.replace

    def lossy(self: Path, target: Path) -> Path:
        self.write_bytes(self.read_bytes()[:-20])
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", lossy)
    with pytest.raises(making.BackupFailed, match="ends too early"):
        back_up(organisation)
    assert not list(archive_files(organisation))


@pytest.mark.django_db
def test_an_error_that_nobody_expected_is_a_failed_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the row would say `running` for an hour, and no figure would ever show it."""
    organisation = make_organisation()
    monkeypatch.setattr(contents, "_Exactly", None)
    failures = failed_so_far()
    with pytest.raises(making.BackupFailed):
        back_up(organisation)
    assert Backup.objects.get(organisation=organisation).state == BackupState.FAILED
    assert failed_so_far() == failures + 1
    assert not list(archive_files(organisation))


def archive_files(organisation: Organisation) -> list[Path]:
    from django.conf import settings

    return list((Path(settings.BACKUP_DIR) / str(organisation.pk)).glob("*"))


def test_is_of_one_moment(live_db: None) -> None:
    """Somebody adds a role and a person's assignment of it while tables are read, one by one."""
    organisation = filled()
    before = state_of(organisation)
    first_table_read, change_made = threading.Event(), threading.Event()
    table_bytes = contents.table_bytes

    def slowly(table: contents.Table) -> Any:
        yield from table_bytes(table)
        first_table_read.set()
        assert change_made.wait(20)

    def change() -> None:
        assert first_table_read.wait(20)
        try:
            with in_schema(organisation):
                Role.objects.create(pk="late", name="Late")
        finally:
            connection.close()
            change_made.set()

    thread = threading.Thread(target=change)
    thread.start()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contents, "table_bytes", slowly)
        backup = making.back_up(
            organisation=organisation, kind=BackupKind.MANUAL, actor=ACTOR, reason=""
        )
    thread.join(20)
    parts = backup.manifest["parts"]
    assert {name: (part["rows"], part["sha256"]) for name, part in parts.items()} == before
    assert state_of(organisation) != before
    assert schemas.schema_exists(organisation.schema_name)


def test_a_table_that_a_migration_writes_anew_is_not_kept_as_empty(live_db: None) -> None:
    """Whoever looks from before sees no row in it: PostgreSQL's ALTER TABLE is no transaction's own."""
    organisation = filled()
    before = state_of(organisation)["schema/rbac_role"]
    migrations, said = contents.migrations, []

    def migrate() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '300ms'")
                cursor.execute(
                    f'ALTER TABLE "{organisation.schema_name}".rbac_role'
                    " ALTER COLUMN priority TYPE bigint"
                )
            said.append("migrated")
        except OperationalError:
            said.append("busy")
        finally:
            connection.close()

    def meanwhile(schema: str) -> Any:
        found = migrations(schema)  # the first look
        thread = threading.Thread(target=migrate)
        thread.start()
        thread.join(20)
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(contents, "migrations", meanwhile)
        part = back_up(organisation).manifest["parts"]["schema/rbac_role"]
    assert (part["rows"], part["sha256"]) == before
    assert said == ["busy"]  # and migrate_orgs comes again


def test_every_model_of_an_organisation_is_kept_or_left_out_for_a_reason() -> None:
    from django.conf import settings

    tenant_apps = {name.rpartition(".")[2] for name in settings.TENANT_APPS}
    pointing = {
        model._meta.label_lower
        for model in apps.get_models()
        if model._meta.app_label not in tenant_apps and contents.pointer(model) is not None
    }
    assert pointing | {"tenants.organisation"} == set(contents.KEPT) | set(contents.LEFT_OUT)
    assert not set(contents.KEPT) & set(contents.LEFT_OUT)
    assert archive.SUFFIX
