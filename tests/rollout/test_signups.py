"""Stop button, caps and a lowered stage at the doors of sign-up; the last place is not raced."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from tenants import invitations, signup, signup_rules
from tenants.links import LinkRefused
from tenants.models import Organisation, Rollout, Stage, State
from tenants.rollout import signups, stages
from tenants.rollout.signups import SignupsClosed
from tests.factories import make_organisation, unique
from tests.rollout import standing
from tests.rollout.test_stages import at_once
from tests.signup.asking import (
    HOST,
    address,
    ask,
    counts,
    invitation,
    link_in,
    mailbox,
    mails,
    wish,
)

ACTOR = standing.ACTOR


def requested(email: str = "", **changes: Any) -> str:
    """Somebody asked; the path of the link in their mail."""
    email = email or mailbox()
    assert ask(wish(email=email, **changes)).status_code == 202
    return link_in(mails(email)[-1])


def post(path: str, **data: str) -> Any:
    return Client().post(path, data, REMOTE_ADDR=address(), **HOST)


def state(email: str) -> str:
    return Organisation.objects.get(owner_email=email).state


@pytest.mark.django_db
class TestStopped:
    def test_nobody_can_sign_up_and_all_are_told_the_same(self) -> None:
        standing.stage()
        owner = make_organisation().owner_email
        token = invitation().token
        signups.stop(actor=ACTOR, reason="the relay burns")
        before = counts()
        answers = [
            ask(wish(invitation=token)),
            ask(wish()),
            ask(wish(email=owner, invitation=token)),
        ]
        assert {(a.status_code, a.json()["code"], a["Retry-After"]) for a in answers} == {
            (503, "signups_stopped", "3600")
        }
        assert "relay" not in answers[0].content.decode()
        assert counts() == before
        signups.start(actor=ACTOR, reason="it does not any more")
        assert ask(wish(invitation=token)).status_code == 202
        assert counts()[0] == before[0] + 1

    def test_bad_input_is_still_told(self) -> None:
        standing.stage()
        signups.stop(actor=ACTOR)
        assert ask(wish(email="nobody")).json()["code"] == "invalid_email"

    def test_the_page_says_so_and_keeps_what_was_typed(self) -> None:
        standing.stage()
        token = invitation().token
        signups.stop(actor=ACTOR)
        assert "paused at the moment" in Client().get("/signup", **HOST).content.decode()
        answer = post("/signup", email=mailbox(), org_name="Typed Ltd", invitation=token)
        page = answer.content.decode()
        assert (answer.status_code, answer["Retry-After"]) == (503, "3600")
        assert "paused at the moment" in page and "Typed Ltd" in page

    def test_a_link_that_was_mailed_is_not_used_up(self) -> None:
        standing.stage()
        email = mailbox()
        path = requested(email, invitation=invitation().token)
        signups.stop(actor=ACTOR)
        answer = post(path)
        assert answer.status_code == 503
        assert "has not been used up" in answer.content.decode()
        assert state(email) == State.REQUESTED
        signups.start(actor=ACTOR, reason="over")
        assert post(path).status_code == 303
        assert state(email) == State.PROVISIONING

    def test_a_mailed_invitation_keeps_its_seat(self) -> None:
        standing.stage()
        email = mailbox()
        mailed = invitation(email, send=True)
        signups.stop(actor=ACTOR)
        assert ask(wish(email=email, invitation=mailed.token)).status_code == 503
        mailed.invitation.refresh_from_db()
        assert mailed.invitation.used == 0

    def test_proofs_go_on(self) -> None:
        standing.stage(private_beta_cap=0)
        signups.stop(actor=ACTOR)
        email = f"{unique('canary')}@example.test"
        token = invitation(email, canary=True).token
        assert ask(wish(email=email, invitation=token)).status_code == 202
        assert state(email) == State.PROVISIONING


@pytest.mark.django_db
class TestCaps:
    def test_a_full_stage_takes_nobody(self) -> None:
        standing.stage(private_beta_cap=1)
        token = invitation(seats=5).token
        assert ask(wish(invitation=token)).status_code == 202
        make_organisation()
        answer = ask(wish(invitation=token))
        assert (answer.status_code, answer.json()["code"]) == (503, "stage_full")
        stages.set_cap(stage=Stage.PRIVATE_BETA, cap=None, actor=ACTOR, reason="room")
        assert ask(wish(invitation=token)).status_code == 202

    def test_canaries_requests_and_the_deleted_take_no_place(self) -> None:
        standing.stage()
        before = signups.present()
        make_organisation(canary=True)
        make_organisation(State.REQUESTED)
        make_organisation(State.DELETED)
        assert signups.present() == before
        make_organisation(State.SUSPENDED)
        make_organisation(State.FAILED)
        assert signups.present() == before + 2

    def test_a_request_made_in_time_finds_it_full(self) -> None:
        standing.stage(private_beta_cap=1)
        email = mailbox()
        path = requested(email, invitation=invitation().token)
        make_organisation()
        answer = post(path)
        assert answer.status_code == 503 and "place" in answer.content.decode()
        assert state(email) == State.REQUESTED

    def test_each_stage_has_its_own(self) -> None:
        standing.stage(Stage.PUBLIC_BETA, private_beta_cap=0, public_beta_cap=10, ga_cap=0)
        assert signups.refusal() is None
        Rollout.objects.update(stage=Stage.PRIVATE_BETA)
        assert signups.refusal() is not None
        Rollout.objects.update(stage=Stage.DEV)
        assert signups.refusal() is None


@pytest.mark.django_db
def test_a_lowered_stage_turns_away_who_came_without_an_invitation() -> None:
    standing.stage(Stage.PUBLIC_BETA)
    open_door, invited = mailbox(), mailbox()
    path = requested(open_door)
    with_seat = requested(invited, invitation=invitation().token)
    stages.lower_stage(to=Stage.PRIVATE_BETA, actor=ACTOR)
    assert post(path).status_code == 503
    assert "invited organisations only" in post(path).content.decode()
    assert post(with_seat).status_code == 303
    assert (state(open_door), state(invited)) == (State.REQUESTED, State.PROVISIONING)


@pytest.mark.covers("F70")
def test_the_last_place_is_not_raced(live_db: None) -> None:
    """Eight people prove their mailboxes at once and two places are left: by link and by mailed
    invitation alike."""
    standing.stage(private_beta_cap=None)
    token = invitation(seats=4).token
    by_link = [unique("place") + "@example.test" for _ in range(4)]
    paths = [requested(email, invitation=token) for email in by_link]
    by_mail = [unique("place") + "@example.test" for _ in range(4)]
    mailed = [invitation(email, send=True).token for email in by_mail]
    Rollout.objects.update(private_beta_cap=signups.present() + 2)
    outcomes = at_once(
        *[lambda path=path: signup.prove_by_link(path.rpartition("/")[2]) for path in paths],
        *[
            lambda email=email, token=token: signup.sign_up(
                signup_rules.Request(email, "Raced Ltd", None, token)
            )
            for email, token in zip(by_mail, mailed, strict=True)
        ],
    )
    closed = [each for each in outcomes if isinstance(each, SignupsClosed)]
    others = [e for e in outcomes if isinstance(e, Exception) and not isinstance(e, SignupsClosed)]
    assert others == []
    assert [each.code for each in closed] == ["stage_full"] * 6
    there = Organisation.objects.filter(owner_email__in=by_link + by_mail)
    assert there.filter(state=State.PROVISIONING).count() == 2
    there.update(state=State.FAILED)
    standing.stage(private_beta_cap=None, public_beta_cap=None)


def test_a_link_is_used_once_while_places_are_raced(live_db: None) -> None:
    """The same link by several hands: one proves, the others are refused, one place is taken."""
    standing.stage(private_beta_cap=None)
    email = unique("hands") + "@example.test"
    token = requested(email, invitation=invitation().token).rpartition("/")[2]
    before = signups.present()
    outcomes = at_once(*[lambda: signup.prove_by_link(token)] * 4)
    assert sum(isinstance(each, LinkRefused) for each in outcomes) == 3
    assert signups.present() == before + 1
    Organisation.objects.filter(owner_email=email).update(state=State.FAILED)


def test_nobody_gets_in_after_a_stop_has_been_told(live_db: None) -> None:
    """The stop waits for who is proving, and whoever comes after it is refused."""
    standing.stage(private_beta_cap=None)
    token = invitation(seats=6).token
    emails = [unique("stop") + "@example.test" for _ in range(6)]
    links = [requested(e, invitation=token).rpartition("/")[2] for e in emails]
    after_stop: list[int] = []
    go = threading.Event()

    def stop() -> None:
        try:
            go.wait(10)
            signups.stop(actor=ACTOR)
            after_stop.append(signups.present())
        finally:
            connection.close()

    thread = threading.Thread(target=stop)
    thread.start()
    go.set()
    at_once(*[lambda each=each: signup.prove_by_link(each) for each in links])
    thread.join(30)
    assert after_stop == [signups.present()]
    Organisation.objects.filter(owner_email__in=emails).update(state=State.FAILED)
    standing.stage(private_beta_cap=None, public_beta_cap=None)


@pytest.mark.django_db
def test_only_stages_below_the_public_beta_ask_for_an_invitation() -> None:
    needed = []
    for stage in Stage:
        standing.stage(stage)
        needed.append(invitations.needed())
    assert needed == [True, True, False, False]
