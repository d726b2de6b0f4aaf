"""The reaper deletes what is due, all of it, in the order of the effects, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as live_settings
from django.db import OperationalError, transaction
from django.utils import timezone

from audit.models import Event
from billing.models import RefreshToken
from relay import effects as relay_effects
from tenants import lifecycle, limits, metrics, schemas
from tenants.deletion import claims, planning, reaper, reaping
from tenants.effects import effects
from tenants.models import (
    Backup,
    DeletionReceipt,
    LimitWindow,
    LinkPurpose,
    MemberInvitation,
    Membership,
    Organisation,
    OutboxMail,
    Removal,
    Session,
    SsoAttempt,
    SsoIdentity,
    SsoProvider,
    State,
    SuspendedBy,
    User,
)
from tenants.residue import residue
from tenants.states import TransitionRefused
from tests.deletion.aging import ACTOR, asked, overdue, pass_time, reap, state_of
from tests.factories import add_member, make_organisation, make_token, make_user, owner_of, sign_in
from tests.lifecycle.test_verbs import moved
from tests.provisioning.looking import rows_about

pytestmark = pytest.mark.django_db


def counted(result: str) -> float:
    found = metrics.registry.get_sample_value("pulse_hosted_reaped_total", {"result": result})
    return found or 0.0


@pytest.mark.covers("H21", "F75")
def test_leaves_a_tombstone_the_copies_and_the_receipt(
    client: Any, django_capture_on_commit_callbacks: Any
) -> None:
    organisation, bystander = overdue(display_name="Acme"), make_organisation()
    owner = owner_of(organisation)
    sign_in(client, owner, organisation)
    RefreshToken.objects.create(organisation=organisation, token_hash="x")
    of_bystander, before = rows_about(bystander), counted("deleted")
    same = moved("pending_deletion", "pending_deletion")

    with django_capture_on_commit_callbacks(execute=True):
        reaped = reap(organisation)

    assert (reaped.action, reaped.label) == ("deleted", organisation.label)
    assert state_of(organisation) == State.DELETED
    assert not schemas.schema_exists(organisation.schema_name)
    assert (organisation.display_name, organisation.owner_email) == ("(deleted)", "")
    assert organisation.deleted_at is not None
    assert rows_about(organisation).keys() == {
        "relay_server_blockedinstance",
        "tenants_deletionreceipt",
        "tenants_backup",
        "tenants_outboxmail",
    }
    assert User.objects.filter(pk=owner.pk).exists(), "an account is its person's"
    assert not Session.objects.filter(host=organisation.instance_host).exists()
    assert rows_about(bystander) == of_bystander
    assert counted("deleted") == before + 1
    assert moved("pending_deletion", "pending_deletion") == same, "its status stayed what it was"
    assert Event.objects.get(action="org_reaped", organisation=organisation.pk).actor_id == "test"


@pytest.mark.covers("H21")
def test_in_the_order_of_the_list() -> None:
    """Runtime and relay, devices and tokens, entitlement, caches, people, tables: the doors first."""
    organisation = overdue()
    reap(organisation)
    receipt = DeletionReceipt.objects.get(organisation=organisation)
    order = ["relay", "tokens", "entitlement", "caches", "people", "schema"]
    assert receipt.document["steps"] == order == [effect.name for effect in effects()]
    assert len(live_settings.LIFECYCLE_EFFECTS) == len(order)


def cut_off(organisation: Organisation) -> None:
    """Its reaper is killed right after the deletion began."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(claims.Busy):
        patch.setattr(reaper, "_run", _superseded)
        reap(organisation)
    assert state_of(organisation) == State.PURGING


def _superseded(*_: Any, **__: Any) -> None:
    raise claims.Superseded


def test_only_what_is_due() -> None:
    early, cancelled = asked(), asked()
    active, suspended = make_organisation(), make_organisation(State.SUSPENDED)
    lifecycle.restore(organisation=cancelled, by=SuspendedBy.OWNER, actor=ACTOR)
    due = overdue()
    assert [each.label for each in reaping.once()] == [due.label]
    assert [state_of(each) for each in (early, cancelled, active, suspended)] == [
        State.PENDING_DELETION,
        State.ACTIVE,
        State.ACTIVE,
        State.SUSPENDED,
    ]
    for organisation, code in (
        (early, "retention_required"),
        (cancelled, "not_pending_deletion"),
        (active, "not_pending_deletion"),
        (due, "already_deleted"),
    ):
        with pytest.raises(TransitionRefused) as refused:
            reap(organisation)
        assert refused.value.code == code


@pytest.mark.parametrize("mode", ["off", "dry-run"])
def test_one_that_was_cut_off_waits_while_the_reaper_is_stopped(settings: Any, mode: str) -> None:
    """On the night on which deletions look wrong those that had begun stop as well; canaries and what
    never came to be do not, or no proof would end."""
    begun, canary, failed = overdue(), make_organisation(canary=True), make_organisation("failed")
    cut_off(begun)
    for each in (canary, failed):
        reaper.begin_now(each, actor=ACTOR)
    settings.REAPER = mode
    assert sorted(each.label for each in reaper.resume()) == sorted([canary.label, failed.label])
    assert state_of(begun) == State.PURGING
    assert Removal.objects.get(organisation=begun).done == []
    assert schemas.schema_exists(begun.schema_name)
    settings.REAPER = "on"
    assert [each.action for each in reaper.resume()] == ["deleted"]


def test_one_that_was_shut_without_a_removal_comes_to_an_end() -> None:
    """As an older release may have left it: what is left of it is counted for the receipt."""
    organisation = overdue()
    cut_off(organisation)
    Removal.objects.filter(organisation=organisation).delete()
    assert [each.action for each in reaper.resume()] == ["deleted"]
    receipt = DeletionReceipt.objects.get(organisation=organisation)
    assert receipt.document["deleted"]["rows"] > 0


def test_the_notices_of_what_is_gone_go_too() -> None:
    organisation = overdue()
    owner = organisation.owner_email
    assert OutboxMail.objects.filter(recipient=owner).count() == 3
    reap(organisation)
    (left,) = OutboxMail.objects.filter(recipient=owner)
    assert left.subject.endswith("was deleted")


@pytest.mark.covers("F64")
def test_who_lost_the_claim_does_not_hold_up_who_took_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection broke, and by the time that it notes so another reaper is at it."""
    organisation = overdue()
    taken = timezone.now() + timedelta(seconds=1)

    def lose(*_: Any, **__: Any) -> None:
        with transaction.atomic():
            Removal.objects.filter(organisation=organisation).update(claimed_at=taken)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(reaper, "_run", lose)
    with pytest.raises(claims.ReapFailed):
        reap(organisation)
    removal = Removal.objects.get(organisation=organisation)
    assert (removal.claimed_at, removal.next_try_at, removal.error) == (taken, None, "")
    event = Event.objects.get(action="org_reaping_failed", organisation=organisation.pk)
    assert not event.success


@pytest.mark.covers("F65")
def test_due_is_due_at_the_very_moment() -> None:
    """Equality counts as over (hosted-contract section 6), and then nobody can have it back."""
    organisation = overdue()
    removal = Removal.objects.get(organisation=organisation)
    assert planning.due(removal.due_at).filter(pk=removal.pk).exists()
    assert not planning.due(removal.due_at - timedelta(microseconds=1)).exists()
    with pytest.raises(TransitionRefused) as refused:
        lifecycle.restore(organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR)
    assert refused.value.code == "retention_over"


def test_nothing_of_all_that_a_customer_can_have_is_left(client: Any) -> None:
    """Rows of every kind that name it; the accounts of its people, which are theirs, stay."""
    from relay.registration import instance_id_for
    from relay.server.models import LicenceBinding
    from relay.server.models import Session as RelaySession
    from tenants import budgets, jobs, links
    from tenants.people import member_invitations

    organisation = overdue(days=1)
    person, instance = add_member(organisation), instance_id_for(organisation.instance_host)
    sign_in(client, person, organisation)
    make_token(organisation, "relay:mobile:access")
    provider = SsoProvider.objects.create(
        organisation=organisation, slug="idp", name="IdP", issuer="https://id.example.test"
    )
    SsoAttempt.objects.create(
        state_hash="s", browser_hash="b", provider=provider, sealed=b"x", expires_at=timezone.now()
    )
    MemberInvitation.objects.create(
        organisation=organisation, email="x@example.test", token_hash="t", expires_at=timezone.now()
    )
    assert member_invitations.of_organisation(organisation).exists()
    links.mint(
        purpose=LinkPurpose.HAND_OFF, user=person, organisation=organisation,
        life=timedelta(minutes=1),
    )  # fmt: skip
    RefreshToken.objects.create(organisation=organisation, token_hash="y")
    LicenceBinding.objects.create(
        licence_id="lid", instance_id=instance, organisation=organisation.pk
    )
    RelaySession.objects.update_or_create(
        instance_id=instance,
        defaults={"token_hash": "x", "kind": "lease", "expires_at": timezone.now()},
    )
    jobs.defer("tenants.tasks.provision", organisation=str(organisation.pk))
    budgets.spend(budgets.ORGANISATION, str(organisation.pk), limit=10)
    reap(organisation)
    assert residue(organisation.pk) == ["tenants_outboxmail: 1 row"], "the receipt's mail"
    key = limits.key_of(budgets.ORGANISATION, str(organisation.pk))
    assert not LimitWindow.objects.filter(key=key).exists()
    assert User.objects.filter(pk=person.pk).exists()
    assert not person.memberships.exists()


def test_what_was_suspended_goes_too_and_leaves_no_reason_behind() -> None:
    organisation = make_organisation()
    lifecycle.suspend(
        organisation=organisation, by=SuspendedBy.BILLING, actor=ACTOR, reason="Jo did not pay"
    )
    lifecycle.soft_delete(
        organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR, retention_days=1
    )
    pass_time(organisation, days=1, minutes=1)
    reap(organisation)
    organisation.refresh_from_db()
    assert (organisation.suspended_by, organisation.suspend_reason) == ("", "")
    assert organisation.suspended_at is None


def test_people_who_came_by_single_sign_on_only_go_with_it() -> None:
    organisation, other = asked(days=1), make_organisation()
    provider = SsoProvider.objects.create(
        organisation=organisation, slug="idp", name="IdP", issuer="https://id.example.test"
    )

    def comes_by_sso() -> User:
        user = User.objects.create_user(None)
        user.set_unusable_password()
        user.save()
        Membership.objects.create(organisation=organisation, user=user)
        SsoIdentity.objects.create(
            organisation=organisation, provider=provider, issuer=provider.issuer,
            subject=str(user.pk), user=user,
        )  # fmt: skip
        return user

    nobody, elsewhere = comes_by_sso(), comes_by_sso()
    Membership.objects.create(organisation=other, user=elsewhere)
    with_mailbox = make_user()
    Membership.objects.create(organisation=organisation, user=with_mailbox)
    pass_time(organisation, days=1, minutes=1)
    reaped = reap(organisation)
    assert reaped.blast["accounts"] == 1
    assert not User.objects.filter(pk=nobody.pk).exists()
    assert User.objects.filter(pk__in=[elsewhere.pk, with_mailbox.pk]).count() == 2
    assert residue(organisation.pk) == ["tenants_outboxmail: 1 row"], "the receipt's"


@pytest.mark.covers("F64")
def test_one_that_fails_holds_up_nobody_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sick, well = overdue(), overdue()
    blocked = relay_effects.RelayEffect.purge

    def purge(self: Any, organisation: Any) -> None:
        if organisation.pk == sick.pk:
            raise RuntimeError("the relay's\ndatabase is away")
        blocked(self, organisation)

    monkeypatch.setattr(relay_effects.RelayEffect, "purge", purge)
    before = counted("failed")
    assert sorted(each.action for each in reaping.once()) == ["deleted", "failed"]
    assert (state_of(sick), state_of(well)) == (State.PURGING, State.DELETED)
    assert counted("failed") == before + 1
    removal = Removal.objects.get(organisation=sick)
    assert removal.error == "RuntimeError: the relay's database is away"
    assert removal.claimed_at is None
    pause = (removal.next_try_at or timezone.now()) - timezone.now()
    assert 290 < pause.total_seconds() <= 300
    event = Event.objects.get(action="org_reaping_failed", organisation=sick.pk)
    assert not event.success

    assert reaping.once() == [] and reaper.resume() == [], "it waits for its time"
    monkeypatch.undo()
    pass_time(sick, minutes=6)
    assert [each.action for each in reaper.resume()] == ["deleted"]
    assert state_of(sick) == State.DELETED


def test_pauses_grow_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = overdue()

    def purge(self: Any, organisation: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(relay_effects.RelayEffect, "purge", purge)
    pauses = []
    for _ in range(9):
        with pytest.raises(claims.ReapFailed):
            reap(organisation)
        removal = Removal.objects.get(organisation=organisation)
        assert removal.next_try_at is not None
        pauses.append(round((removal.next_try_at - timezone.now()).total_seconds() / 60))
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 360, 360]


def test_with_hosted_mode_off_nothing_is_deleted(settings: Any) -> None:
    organisation = overdue()
    settings.HOSTED_MODE = False
    assert reaping.once() == []
    assert state_of(organisation) == State.PENDING_DELETION


def test_dry_run_touches_nothing(settings: Any) -> None:
    settings.REAPER = "dry-run"
    organisation = overdue()
    make_rows = rows_about(organisation)
    before = counted("dry_run")
    (shown,) = reaping.once()
    assert (shown.action, shown.label) == ("dry_run", organisation.label)
    assert shown.blast["rows"] > 0 and shown.blast["people"] == 1
    assert rows_about(organisation) == make_rows
    assert Backup.objects.filter(organisation=organisation).count() == 0
    assert counted("dry_run") == before + 1
    assert state_of(organisation) == State.PENDING_DELETION


def test_the_blast_radius_counts_what_there_is() -> None:
    from relay.models import RelayStatus
    from tenants.deletion.blast import blast_radius

    organisation, other = make_organisation(), make_organisation()
    empty = blast_radius(organisation)
    for each in (organisation, other, other):
        make_token(each, "settings:read")
        make_token(each, "relay:mobile:access")
    add_member(organisation)
    now = timezone.now()
    RelayStatus.objects.update_or_create(
        organisation=organisation,
        defaults={"connected": True, "connected_at": now, "active_channels": 3, "seen_at": now},
    )
    full = blast_radius(organisation)
    assert (full.sockets, full.people, full.tokens + full.phones) == (4, 2, 2)
    assert (empty.sockets, empty.people, empty.tokens, empty.phones) == (0, 1, 0, 0)
    assert full.bytes > 0 and full.rows == sum(full.tables.values())
    assert full.tables["rbac_apitoken"] == 2
    assert full.tables["tenants_membership"] == 2
    assert full.rows == empty.rows + 2 + 2 + full.tables["rbac_change"] - empty.tables.get(
        "rbac_change", 0
    )
