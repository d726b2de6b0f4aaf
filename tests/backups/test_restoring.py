"""Data is destroyed, and comes back: into a new schema, verified, switched to at once."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from audit.models import Event
from billing.models import BillingState, RefreshToken
from rbac.models import ApiToken, Assignment, Change, GroupMapping, Permission, Role
from relay.models import Registration
from tenants import schema_template, schemas, sealing
from tenants.backups import making, restoring
from tenants.models import (
    Backup,
    BackupKind,
    Membership,
    Organisation,
    OutboxMail,
    Session,
    SsoProvider,
    State,
    User,
)
from tenants.schemas import in_schema
from tests.backups.filling import ACTOR, SECRET, back_up, destroy_schema, filled, state_of
from tests.factories import add_member, make_organisation, make_token, make_user, owner_of, sign_in
from tests.rbac.people import Caller

pytestmark = pytest.mark.django_db


def put_back(organisation: Organisation, backup: Backup) -> restoring.Plan:
    return restoring.restore(
        organisation=organisation, backup=backup, actor=ACTOR, reason="lost, ticket 9"
    )


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    """Without what a restore changes on purpose: tokens are revoked, and one row has a new schema."""
    changed = ("schema/rbac_apitoken", "public/tenants.organisation", "public/tenants.membership",
               "public/tenants.ssoidentity")  # fmt: skip
    return {name: part for name, part in found.items() if name not in changed}


def lose_schema(organisation: Organisation) -> None:
    destroy_schema(organisation)


def lose_rows(organisation: Organisation) -> None:
    with in_schema(organisation):
        for model in (ApiToken, Assignment, Permission, Change):
            model.objects.all().delete()
        Role.objects.update(name="?")


def lose_a_table(organisation: Organisation) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f'DROP TABLE "{organisation.schema_name}".rbac_role CASCADE')


def lose_public_rows(organisation: Organisation) -> None:
    owner = owner_of(organisation)
    Membership.objects.filter(organisation=organisation).exclude(user=owner).delete()
    SsoProvider.objects.filter(organisation=organisation).delete()
    BillingState.objects.filter(organisation=organisation).delete()
    Registration.objects.filter(organisation=organisation).delete()


@pytest.mark.parametrize("lose", [lose_schema, lose_rows, lose_a_table, lose_public_rows])
def test_destroyed_data_comes_back(lose: Any) -> None:
    organisation = filled()
    backup = back_up(organisation)
    before, old = state_of(organisation), organisation.schema_name
    people = set(organisation.memberships.values_list("user", "role", "added_at"))
    lose(organisation)
    put_back(organisation, backup)
    after = state_of(organisation)
    assert comparable(after) == comparable(before)
    assert {name: rows for name, (rows, _) in after.items()} == {
        name: rows for name, (rows, _) in before.items()
    }
    assert set(organisation.memberships.values_list("user", "role", "added_at")) == people
    assert organisation.schema_name != old
    assert not schemas.schema_exists(old)
    provider = SsoProvider.objects.get(organisation=organisation)
    secret = sealing.open_sealed(provider.client_secret_sealed or b"", context=str(organisation.pk))
    assert secret.decode() == SECRET


def test_the_organisation_works_afterwards() -> None:
    organisation = filled()
    backup = back_up(organisation)
    destroy_schema(organisation)
    put_back(organisation, backup)
    organisation.refresh_from_db()
    owner = Caller(organisation)
    assert "night-shift" in {role["id"] for role in owner.gets("/api/admin/roles")}
    with in_schema(organisation):
        Change.objects.create(action="x", entity_type="x", entity_id="x", actor="x")
    assert make_token(organisation)


def test_no_credential_of_then_or_now_works(client: Client) -> None:
    organisation = filled()
    of_then = make_token(organisation)
    backup = back_up(organisation)
    of_now = make_token(organisation)
    RefreshToken.objects.create(organisation=organisation, token_hash="x")
    sign_in(client, owner_of(organisation), organisation)
    host = {"host": organisation.instance_host}
    assert client.get("/api/organisation", headers=host).status_code == 200
    put_back(organisation, backup)
    for token in (of_then, of_now):
        said = {"authorization": f"Bearer {token}", **host}
        assert Client().get("/api/organisation", headers=said).status_code == 401
    assert not Session.objects.filter(host=organisation.instance_host).exists()
    assert client.get("/api/organisation", headers=host).status_code == 401
    assert not RefreshToken.objects.filter(organisation=organisation, revoked_at=None).exists()


def test_its_owner_is_told_what_to_do_now() -> None:
    organisation = filled()
    backup = back_up(organisation)
    put_back(organisation, backup)
    told = OutboxMail.objects.get(recipient=organisation.owner_email, subject__contains="put back")
    assert f"again what it was on {backup.made_at:%-d %B %Y, %H:%M} UTC" in told.body
    assert "phones have to be paired again" in told.body
    assert f"/o/{organisation.label}/" in told.body
    assert "is kept for some time" in told.body
    assert "ticket 9" not in told.body  # the reason is the staff's
    destroy_schema(organisation)
    put_back(organisation, backup)
    told = OutboxMail.objects.filter(recipient=organisation.owner_email).latest("pk")
    assert "is kept" not in told.body  # there was nothing to keep


def test_nobody_is_told_when_nothing_was_put_back() -> None:
    organisation = filled()
    restoring.plan(organisation=organisation, backup=back_up(organisation))
    mails = OutboxMail.objects.filter(recipient=organisation.owner_email)
    assert not mails.filter(subject__contains="put back").exists()


def test_lists_who_may_do_something_else_than_before() -> None:
    organisation = filled()
    editor = Membership.objects.get(organisation=organisation, role="editor").user
    backup = back_up(organisation)
    newcomer = add_member(organisation, "admin")
    with in_schema(organisation):
        Assignment.objects.filter(user=editor.pk, role_id="night-shift").delete()
        Permission.objects.filter(role_id="night-shift", effect="deny").delete()
    plan = restoring.plan(organisation=organisation, backup=backup)
    said = {each.subject: (each.before, each.after) for each in plan.access}
    assert said == {
        f"user {editor}": (["operator"], ["night-shift", "operator"]),
        f"user {newcomer}": (["admin"], []),
        "role night-shift": (["allow read nodes"], ["allow read nodes", "deny admin *"]),
    }
    assert [vars(each) for each in plan.people] == [
        {"subject": f"user {newcomer}", "before": ["admin"], "after": []}
    ]
    put_back(organisation, backup)
    assert not organisation.memberships.filter(user=newcomer).exists()
    event = Event.objects.get(organisation=organisation.pk, action="org_data_restored")
    assert event.reason == "lost, ticket 9"
    assert (event.after or {})["backup"] == str(backup.pk)
    assert any(str(newcomer) in subject for subject in (event.before or {})["access"])


def test_ids_are_told_as_names_or_not_at_all() -> None:
    organisation, stranger = filled(), make_user()
    backup = back_up(organisation)
    gone = uuid4()
    with in_schema(organisation):
        GroupMapping.objects.update(group="nurses")
        GroupMapping.objects.create(provider=gone, group="cooks", role_id="viewer")
        Assignment.objects.create(user=stranger.pk, role_id="viewer")
    name = SsoProvider.objects.get(organisation=organisation).name
    plan = put_back(organisation, backup)
    assert {each.subject for each in plan.access} == {
        f"group ops of {name}",
        f"group nurses of {name}",
        "group cooks of a provider that is gone",
        "user who is no member",
    }
    event = Event.objects.get(organisation=organisation.pk, action="org_data_restored")
    told = str([event.before, event.after])
    for hidden in (stranger.pk, stranger.email, gone, SsoProvider.objects.get().pk):
        assert str(hidden) not in told


def test_a_plan_changes_nothing() -> None:
    organisation = filled()
    backup = back_up(organisation)
    lose_rows(organisation)
    before, count = state_of(organisation), schemas_there()
    plan = restoring.plan(organisation=organisation, backup=backup)
    assert plan.rows["rbac_assignment"] > 0 == plan.rows_now["rbac_assignment"]
    assert state_of(organisation) == before
    assert schemas_there() == count
    assert Backup.objects.filter(organisation=organisation).count() == 1


def test_can_be_undone() -> None:
    organisation = filled()
    backup = back_up(organisation)
    with in_schema(organisation):
        Role.objects.create(pk="of-today", name="Of today")
    put_back(organisation, backup)
    kept = organisation.backups.get(kind=BackupKind.BEFORE_RESTORE)
    assert restoring.newest(organisation) == backup
    put_back(organisation, kept)
    organisation.refresh_from_db()
    with in_schema(organisation):
        assert Role.objects.filter(pk="of-today").exists()


def test_leaves_state_billing_and_relay_identity_alone() -> None:
    """Yesterday's payment never comes over today's, and nobody is unsuspended by a restore."""
    organisation = filled()
    backup = back_up(organisation)
    BillingState.objects.filter(organisation=organisation).update(subscription_state="canceled")
    Registration.objects.filter(organisation=organisation).update(licence_id="attached-since")
    Organisation.objects.filter(pk=organisation.pk).update(
        state=State.SUSPENDED, suspended_by="platform", suspended_at=organisation.created_at
    )
    organisation.refresh_from_db()
    put_back(organisation, backup)
    organisation.refresh_from_db()
    assert (organisation.state, organisation.suspended_by) == (State.SUSPENDED, "platform")
    assert BillingState.objects.get(organisation=organisation).subscription_state == "canceled"
    assert Registration.objects.get(organisation=organisation).licence_id == "attached-since"


def test_an_owner_who_closed_the_account_does_not_come_back() -> None:
    organisation = filled()
    former = owner_of(organisation)
    backup = back_up(organisation)
    present = make_user()
    Membership.objects.filter(organisation=organisation, user=former).delete()
    Membership.objects.create(organisation=organisation, user=present, role="owner")
    User.objects.filter(pk=former.pk).update(is_active=False)
    plan = put_back(organisation, backup)
    assert plan.owner_stays
    assert owner_of(organisation) == present
    assert organisation.memberships.get(user=former).role == "admin"
    organisation.refresh_from_db()
    assert Caller(organisation).gets("/api/admin/roles")  # the backup does not know this owner
    Membership.objects.filter(organisation=organisation, role="owner").delete()
    with pytest.raises(restoring.RestoreRefused) as refused:
        put_back(organisation, backup)
    assert refused.value.code == "no_owner"


def test_members_whose_account_is_gone_are_left_out() -> None:
    organisation = filled()
    gone = Membership.objects.get(organisation=organisation, role="viewer").user
    backup = back_up(organisation)
    User.objects.filter(pk=gone.pk).delete()
    plan = put_back(organisation, backup)
    assert plan.missing_people == 1
    assert organisation.memberships.count() == 2


def test_a_backup_of_an_older_release_is_migrated() -> None:
    from django.db.migrations.executor import MigrationExecutor

    from tenants.upgrades import versions

    organisation = filled()
    order = versions.release().order
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with schemas.only_inside(organisation.schema_name):
        MigrationExecutor(connection).migrate([order[0]])
    backup = back_up(organisation)
    assert backup.manifest["migrations"] == [order[0]]
    with in_schema(organisation):
        roles = set(Role.objects.values_list("pk", flat=True))
    plan = put_back(organisation, backup)
    assert plan.migrated == [".".join(key) for key in order[1:]]
    organisation.refresh_from_db()
    with in_schema(organisation):
        assert set(Role.objects.values_list("pk", flat=True)) == roles
    assert organisation.schema_name not in versions.behind(look=True)


def test_other_organisations_do_not_move() -> None:
    organisation, other = filled(), filled()
    of_other, token = state_of(other), make_token(other)
    del of_other["schema/rbac_apitoken"], of_other["schema/rbac_change"]
    backup = back_up(organisation)
    destroy_schema(organisation)
    put_back(organisation, backup)
    now = state_of(other)
    assert {name: now[name] for name in of_other} == of_other
    said = {"authorization": f"Bearer {token}", "host": other.instance_host}
    assert Client().get("/api/organisation", headers=said).status_code == 200


def test_waits_while_what_it_replaces_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = filled()
    backup, schema = back_up(organisation), organisation.schema_name

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(making, "_write", full)
        with pytest.raises(restoring.RestoreRefused, match="No space left") as refused:
            put_back(organisation, backup)
    assert refused.value.code == "not_kept"
    organisation.refresh_from_db()
    assert organisation.schema_name == schema
    kept = put_back(organisation, backup).kept
    assert kept is not None and kept.kind == BackupKind.BEFORE_RESTORE
    event = Event.objects.get(organisation=organisation.pk, action="org_data_restored")
    assert (event.after or {})["kept"] == str(kept.pk)


def test_a_form_of_tomorrow_and_a_release_that_is_not_set_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    organisation = filled()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(making, "FORMAT", 2)
        of_tomorrow = back_up(organisation)
    with pytest.raises(restoring.RestoreRefused) as refused:
        put_back(organisation, of_tomorrow)
    assert refused.value.code == "newer_version"
    backup = back_up(organisation)
    monkeypatch.setattr(schema_template, "_process_hash", "another release's")
    with pytest.raises(restoring.RestoreRefused, match="prepare_schemas") as refused:
        put_back(organisation, backup)
    assert refused.value.code == "not_prepared"


def test_refusals() -> None:
    organisation = filled()
    backup = back_up(organisation)
    with pytest.raises(restoring.RestoreRefused) as refused:
        restoring.restore(organisation=organisation, backup=backup, actor=ACTOR, reason=" ")
    assert refused.value.code == "missing_reason"
    with pytest.raises(restoring.RestoreRefused) as refused:
        put_back(make_organisation(), backup)
    assert refused.value.code == "wrong_organisation"
    Backup.objects.filter(pk=backup.pk).update(state="removed")
    backup.refresh_from_db()
    with pytest.raises(restoring.RestoreRefused) as refused:
        put_back(organisation, backup)
    assert refused.value.code == "not_done"
    Backup.objects.filter(pk=backup.pk).update(state="done")
    backup.refresh_from_db()
    Organisation.objects.filter(pk=organisation.pk).update(state=State.PURGING)
    organisation.refresh_from_db()
    with pytest.raises(restoring.RestoreRefused) as refused:
        put_back(organisation, backup)
    assert refused.value.code == "org_not_ready"


def schemas_there() -> int:
    with connection.cursor() as cursor:
        cursor.execute(r"SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'org\_%%'", [])
        return int(cursor.fetchone()[0])
