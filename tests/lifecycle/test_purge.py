"""Purging a canary: nothing left anywhere, others untouched, resumable, and refused for customers."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client

from audit.actors import Actor
from audit.models import Event
from billing.models import BillingState
from tenants import invitations, lifecycle, links, purging, schemas
from tenants.deletion import reaper
from tenants.models import (
    Invitation,
    LinkPurpose,
    MemberRole,
    Membership,
    Organisation,
    Session,
    State,
    SuspendedBy,
    User,
)
from tenants.residue import residue
from tenants.states import TransitionRefused
from tests.factories import make_organisation, make_user, owner_of
from tests.provisioning.looking import rows_about

ACTOR = Actor.system("test")


def canary(state: str = State.ACTIVE, **fields: Any) -> Organisation:
    """A canary as sign-up makes one: its owner has no password."""
    owner = make_user()
    owner.set_unusable_password()
    owner.save()
    return make_organisation(state, canary=True, owner=owner, **fields)


def purge(organisation: Organisation) -> Organisation:
    return lifecycle.purge(organisation=organisation, actor=ACTOR, reason="drill")


@pytest.mark.django_db
def test_leaves_a_tombstone_and_nothing_else() -> None:
    organisation, bystander = canary(), make_organisation()
    of_bystander = rows_about(bystander)
    owner = owner_of(organisation)
    label, schema = organisation.label, organisation.schema_name
    links.mint(
        purpose=LinkPurpose.HAND_OFF,
        user=owner,
        organisation=organisation,
        life=timedelta(minutes=1),
    )
    browser = Client()
    browser.force_login(owner)
    assert Session.objects.filter(user=owner.pk).count() == 1
    assert residue(organisation.pk) != []

    purge(organisation)

    assert residue(organisation.pk) == []
    assert rows_about(organisation).keys() <= {"relay_server_blockedinstance"}
    organisation.refresh_from_db()
    assert (organisation.state, organisation.label, organisation.schema_name) == (
        State.DELETED,
        label,
        schema,
    )
    assert organisation.deleted_at is not None
    assert (organisation.owner_email, organisation.display_name) == ("", "(deleted)")
    assert not schemas.schema_exists(schema)
    assert not User.objects.filter(pk=owner.pk).exists()
    assert not Session.objects.filter(user=owner.pk).exists()
    assert rows_about(bystander) == of_bystander
    assert schemas.schema_exists(bystander.schema_name)
    actions = Event.objects.filter(organisation=organisation.pk).values_list("action", flat=True)
    assert {"org_purge_started", "org_purged"} <= set(actions)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "state",
    [State.REQUESTED, State.PROVISIONING, State.FAILED, State.SUSPENDED, State.PENDING_DELETION],
)
def test_works_from_every_state(state: str) -> None:
    organisation = canary(state)
    assert purge(organisation).state == State.DELETED
    assert residue(organisation.pk) == []


@pytest.mark.django_db
@pytest.mark.parametrize("state", [State.ACTIVE, State.SUSPENDED, State.PENDING_DELETION])
def test_a_customer_needs_retention(state: str) -> None:
    organisation = make_organisation(state)
    before = rows_about(organisation)
    with pytest.raises(TransitionRefused) as refused:
        purge(organisation)
    assert refused.value.code == "retention_required"
    organisation.refresh_from_db()
    assert organisation.state == state
    assert rows_about(organisation) == before


@pytest.mark.django_db
def test_what_never_came_to_be_needs_none() -> None:
    """A customer's that provisioning gave up: there is no data to keep."""
    organisation = make_organisation(State.FAILED)
    assert purge(organisation).state == State.DELETED
    assert residue(organisation.pk) == []


@pytest.mark.django_db
def test_twice_is_refused() -> None:
    organisation = purge(canary())
    with pytest.raises(TransitionRefused) as refused:
        purge(organisation)
    assert refused.value.code == "already_deleted"


@pytest.mark.django_db
def test_people_who_are_somebody_elsewhere_stay() -> None:
    """Member of another organisation, staff, or with a password of their own."""
    elsewhere, staff, person = (
        make_user(),
        make_user(is_staff=True),
        make_user(password="long-enough-1"),
    )
    organisation = canary()
    make_organisation(owner=elsewhere)
    for user in (elsewhere, staff, person):
        Membership.objects.create(organisation=organisation, user=user, role=MemberRole.VIEWER)
    purge(organisation)
    assert User.objects.filter(pk__in=[elsewhere.pk, staff.pk, person.pk]).count() == 3


@pytest.mark.django_db
def test_its_invitation_goes_and_others_stay() -> None:
    mine = invitations.invite(email="c@canary.example", canary=True, actor=ACTOR).invitation
    other = invitations.invite(email="d@canary.example", canary=True, actor=ACTOR).invitation
    organisation = canary()
    Organisation.objects.filter(pk=organisation.pk).update(invitation=mine)
    purge(organisation)
    assert not Invitation.objects.filter(pk=mine.pk).exists()
    assert Invitation.objects.filter(pk=other.pk).exists()


@pytest.mark.django_db
def test_a_label_is_never_given_again() -> None:
    from tenants import signup

    organisation = purge(canary())
    invited = invitations.invite(email="again@canary.example", canary=True, actor=ACTOR).invitation
    again = signup.request_organisation(
        email="again@canary.example",
        org_name="Again",
        host_label=organisation.label,
        invitation=invited,
    )
    assert again.label != organisation.label
    assert again.label.startswith("canary-")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("what", "sql"),
    [
        ("schema", 'CREATE SCHEMA "{schema}"'),
        (
            "left by a restore",
            "CREATE SCHEMA org_00000000000000000000000000000000; COMMENT ON SCHEMA"
            " org_00000000000000000000000000000000 IS 'pulsecloud: being put back for {id}'",
        ),
        (
            "billing_billingstate",
            "INSERT INTO billing_billingstate (organisation_id, subscription_state, plan_version,"
            " capabilities, limits, meters_enabled, version, changed_at)"
            " VALUES ('{id}', 'trial', '', '[]', '{{}}', '[]', 1, now())",
        ),
        ("some_new_table", "CREATE TABLE some_new_table AS SELECT '{id}'::uuid AS whatever"),
        ("hidden_in_json", 'CREATE TABLE hidden_in_json AS SELECT \'{{"org": "{id}"}}\'::jsonb j'),
        ("host_only", "CREATE TABLE host_only AS SELECT 'https://{host}/x'::text AS address"),
    ],
)
def test_residue_bites(what: str, sql: str) -> None:
    organisation = purge(canary())
    with connection.cursor() as cursor:
        cursor.execute(
            sql.format(
                id=organisation.pk,
                schema=organisation.schema_name,
                host=organisation.instance_host,
            )
        )
    found = residue(organisation.pk)
    assert len(found) == 1
    assert what in found[0]


@pytest.mark.django_db
def test_residue_knows_the_instance_id() -> None:
    from relay.registration import instance_id_for
    from relay.server.models import Session as RelaySession

    organisation = purge(canary())
    RelaySession.objects.create(
        instance_id=instance_id_for(organisation.instance_host),
        token_hash="x",
        kind="lease",
        expires_at=organisation.created_at,
    )
    assert residue(organisation.pk) == ["relay_server_session: 1 row"]


@pytest.mark.django_db
def test_residue_of_a_neighbour_is_not_ours() -> None:
    """Labels that contain one another are told apart."""
    organisation = canary(label="canary-abc-1")
    neighbour = canary(label="canary-xcanary-abc-1")
    purge(organisation)
    assert residue(organisation.pk) == []
    assert residue(neighbour.pk) != []


@pytest.mark.django_db
def test_purge_canary_removes_one_that_never_came_far() -> None:
    invitations.invite(email="early@canary.example", canary=True, actor=ACTOR)
    left = lifecycle.purge_canary(label="canary-never", email="early@canary.example", actor=ACTOR)
    assert left == []
    assert not Invitation.objects.filter(email="early@canary.example").exists()


@pytest.mark.covers("F64")
def test_killed_between_its_halves_the_sweep_finishes(live_db: None) -> None:
    """Interrupted mid-way: closed at once, complete later, whoever goes on."""
    organisation = canary()
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            purging._finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore
            purge(organisation)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    organisation.refresh_from_db()
    assert organisation.state == State.PURGING
    with pytest.raises(TransitionRefused):
        lifecycle.suspend(organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)

    assert reaper.resume()
    organisation.refresh_from_db()
    assert organisation.state == State.DELETED
    assert residue(organisation.pk) == []


@pytest.mark.covers("F64")
def test_suspending_races_with_purging_and_purging_with_itself(live_db: None) -> None:
    organisation = canary()
    said: list[str] = []
    barrier = threading.Barrier(5)

    def race(verb: Any) -> None:
        try:
            barrier.wait(10)
            verb()
            said.append("done")
        except TransitionRefused as refused:
            said.append(refused.code)
        except Exception as error:
            said.append(repr(error))
        finally:
            connection.close()

    def suspending() -> None:
        lifecycle.suspend(organisation=organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)

    verbs = [lambda: purge(organisation)] * 3 + [suspending] * 2
    threads = [threading.Thread(target=race, args=(verb,)) for verb in verbs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(said) <= {"done", "already_deleted", "already_suspended", "already_pending_deletion"}
    organisation.refresh_from_db()
    assert organisation.state == State.DELETED
    assert residue(organisation.pk) == []
    assert not BillingState.objects.filter(organisation=organisation).exists()
    assert Event.objects.filter(organisation=organisation.pk, action="org_purged").count() == 1
