"""From the mail to an organisation that is being set up; and what repeats, races and time do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from audit.models import Event
from tenants import links, signup
from tenants.accounts.sessions import reference
from tenants.models import Invitation, LinkPurpose, Organisation, OutboxMail, Session, State, User
from tests.factories import make_organisation, make_user, owner_of
from tests.signup.asking import HOST, ask, counts, invitation, link_in, mailbox, mails, wish

pytestmark = pytest.mark.django_db


def requested(email: str, **changes: Any) -> tuple[Organisation, str]:
    """A request and the path of its link."""
    ask(wish(email=email, invitation=invitation(seats=5).token, **changes))
    organisation = Organisation.objects.filter(owner_email=email).latest("created_at")
    return organisation, link_in(mails(email)[-1])


def jobs(organisation: Organisation) -> list[str]:
    found = ProcrastinateJob.objects.filter(args__organisation=str(organisation.pk))
    return list(found.values_list("status", flat=True))


@pytest.mark.covers("C5")
def test_get_changes_nothing_and_post_proves() -> None:
    email = mailbox()
    organisation, path = requested(email)
    browser = Client()
    for _ in range(2):  # a scanner of mails, then the person
        page = browser.get(path, **HOST)
        assert page.status_code == 200
        assert email in page.content.decode()
        assert 'method="post"' in page.content.decode()
    organisation.refresh_from_db()
    assert organisation.state == State.REQUESTED
    assert not User.objects.filter(email=email).exists()

    answer = browser.post(path, **HOST)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/signup/progress")
    organisation.refresh_from_db()
    assert organisation.state == State.PROVISIONING
    assert organisation.mailbox_proved_at is not None
    owner = owner_of(organisation)
    assert (owner.email, owner.email_verified_at is not None) == (email, True)
    assert not owner.has_usable_password()
    assert organisation.domains.get().domain == organisation.instance_host
    assert jobs(organisation) == ["todo"]
    status = browser.get("/signup/status", **HOST).json()
    assert status["state"] == "provisioning"
    assert status["label"] == organisation.label
    assert UUID(status["organisation"]) == organisation.pk
    assert status["url"] == f"http://{organisation.instance_host}:8000/"
    assert [step["status"] for step in status["steps"]] == ["running"] + ["waiting"] * 5
    assert browser.get("/signup/progress", **HOST).status_code == 200
    trail = Event.objects.filter(organisation=organisation.pk).values_list("action", flat=True)
    assert set(trail) == {"org_requested", "org_mailbox_proved"}


def test_a_link_works_once_and_says_nothing_else() -> None:
    _, path = requested(mailbox())
    assert Client().post(path, **HOST).status_code == 303
    answers = [Client().post(path, **HOST), Client().get(path, **HOST)]
    answers += [Client().get("/signup/verify/nonsense", **HOST)]
    answers += [Client().post("/signup/verify/" + "x" * 500, **HOST)]
    assert {a.status_code for a in answers} == {404}
    assert len({a.content for a in answers}) == 1


def test_an_old_link_is_refused() -> None:
    organisation, path = requested(mailbox())
    organisation.links.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Client().post(path, **HOST).status_code == 404
    organisation.refresh_from_db()
    assert organisation.state == State.REQUESTED


def test_a_sign_in_link_proves_no_mailbox_and_the_other_way_round() -> None:
    _, path = requested(mailbox())
    token = path.rsplit("/", 1)[1]
    assert Client().post(f"/sign-in/{token}", **HOST).status_code == 404
    other = links.mint(purpose=LinkPurpose.SIGN_IN, user=make_user(), life=timedelta(minutes=1))
    assert Client().post(f"/signup/verify/{other}", **HOST).status_code == 404


def test_only_a_digest_of_the_link_is_stored() -> None:
    organisation, path = requested(mailbox())
    token = path.rsplit("/", 1)[1]
    assert organisation.links.get().token_hash != token
    assert not organisation.links.filter(token_hash__contains=token).exists()


def test_an_owner_gets_a_sign_in_link_and_nothing_is_touched() -> None:
    """H1: upstream resets billing and may delete a live organisation here."""
    organisation = make_organisation()
    owner = owner_of(organisation)
    assert owner.email is not None
    before = {
        "organisation": Organisation.objects.filter(pk=organisation.pk).values().get(),
        "billing": vars(organisation.billing).copy(),
    }
    seat = invitation()
    answer = ask(wish(email=owner.email.upper(), invitation=seat.token))
    assert answer.status_code == 202
    assert Organisation.objects.filter(pk=organisation.pk).values().get() == before["organisation"]
    organisation.billing.refresh_from_db()
    assert organisation.billing.version == before["billing"]["version"]
    assert organisation.billing.trial_ends_at == before["billing"]["trial_ends_at"]
    assert Organisation.objects.filter(memberships__user=owner).count() == 1
    assert Invitation.objects.get(pk=seat.invitation.pk).used == 0
    path = link_in(mails(owner.email)[0])
    assert path.startswith("/sign-in/")
    browser = Client()
    assert browser.post(path, **HOST).status_code == 303
    assert browser.get("/signup/status", **HOST).json()["label"] == organisation.label


def test_staff_get_no_link_that_opens_their_account() -> None:
    """A mailbox alone must not open the staff pages."""
    staff = make_user(is_staff=True, is_superuser=True)
    assert staff.email is not None
    make_organisation(owner=staff)
    ask(wish(email=staff.email))
    assert link_in(mails(staff.email)[0]) == "/accounts/login/"


def test_staff_who_prove_a_new_organisation_are_not_signed_in_by_it() -> None:
    staff = make_user(is_staff=True)
    assert staff.email is not None
    organisation, path = requested(staff.email)
    browser = Client()
    browser.post(path, **HOST)
    assert owner_of(organisation) == staff
    assert "_auth_user_id" not in browser.session


def test_a_closed_account_gets_nothing() -> None:
    user = make_user(is_active=False)
    assert user.email is not None
    seat = invitation()
    before = counts()
    assert ask(wish(email=user.email, invitation=seat.token)).status_code == 202
    assert counts() == before


def test_a_person_who_exists_becomes_the_owner_and_is_not_doubled() -> None:
    member = make_user("Mixed.Case-once@Example.test")
    organisation, path = requested("mixed.case-ONCE@example.test")
    Client().post(path, **HOST)
    assert owner_of(organisation) == member
    assert User.objects.filter(email__iexact="mixed.case-once@example.test").count() == 1


def test_of_several_requests_of_one_mailbox_one_comes_to_be() -> None:
    email = mailbox()
    first, first_path = requested(email, host_label="first-of-them")
    second, second_path = requested(email, host_label="second-of-them")
    assert first.pk != second.pk
    Client().post(second_path, **HOST)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (State.EXPIRED, State.PROVISIONING)
    assert Client().post(first_path, **HOST).status_code == 404
    assert Organisation.objects.filter(memberships__user__email=email).count() == 1


def test_asking_again_with_the_same_seat_replaces_the_request() -> None:
    email, seat = mailbox(), invitation()
    ask(wish(email=email, invitation=seat.token, host_label="with-a-typo"))
    ask(wish(email=email, invitation=seat.token, host_label="without-typo"))
    states = dict(Organisation.objects.filter(owner_email=email).values_list("label", "state"))
    assert states == {"with-a-typo": State.EXPIRED, "without-typo": State.REQUESTED}
    assert Invitation.objects.get(pk=seat.invitation.pk).used == 1


def test_unproved_requests_expire_and_their_label_and_seat_are_free_again(settings: Any) -> None:
    email, seat = mailbox(), invitation()
    ask(wish(email=email, invitation=seat.token, host_label="held-for-a-day"))
    organisation = Organisation.objects.get(owner_email=email)
    path = link_in(mails(email)[0])
    signup.expire_unproved()
    organisation.refresh_from_db()
    assert organisation.state == State.REQUESTED

    Organisation.objects.filter(pk=organisation.pk).update(
        created_at=timezone.now() - timedelta(seconds=settings.SIGNUP_LINK_LIFE + 1)
    )
    assert signup.expire_unproved() == 1
    organisation.refresh_from_db()
    assert organisation.state == State.EXPIRED
    assert Invitation.objects.get(pk=seat.invitation.pk).used == 0
    assert Client().post(path, **HOST).status_code == 404
    other = mailbox()
    ask(wish(email=other, invitation=seat.token, host_label="held-for-a-day"))
    assert Organisation.objects.get(owner_email=other).label == "held-for-a-day"


def test_a_mailed_invitation_redeemed_by_the_api_lets_in_by_mail() -> None:
    email = mailbox()
    ask(wish(email=email, invitation=invitation(email, send=True).token))
    organisation = Organisation.objects.get(owner_email=email)
    assert organisation.state == State.PROVISIONING
    browser = Client()
    browser.post(link_in(mails(email)[1]), **HOST)
    assert browser.get("/signup/status", **HOST).json()["label"] == organisation.label


def test_a_canary_gets_no_mail() -> None:
    email = mailbox()
    ask(wish(email=email, invitation=invitation(email, canary=True).token))
    assert Organisation.objects.get(owner_email=email).state == State.PROVISIONING
    assert mails(email) == []


def test_nothing_expires_while_hosted_mode_is_off(settings: Any) -> None:
    organisation, _ = requested(mailbox())
    Organisation.objects.filter(pk=organisation.pk).update(
        created_at=timezone.now() - timedelta(days=9)
    )
    settings.HOSTED_MODE = False
    assert signup.expire_unproved() == 0


def test_a_session_starts_on_the_base_domain_with_a_new_key() -> None:
    _, path = requested(mailbox())
    browser = Client()
    browser.get(path, **HOST)
    before = browser.cookies.get("pulsecloud_session")
    browser.post(path, **HOST)
    key = browser.cookies["pulsecloud_session"].value
    assert before is None or before.value != key
    assert Session.objects.get(pk=reference(key)).host == "localhost"


def test_nothing_is_mailed_when_the_transaction_fails(monkeypatch: Any) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("tenants.metrics.signed_up", fail)  # on commit, so too late to matter
    monkeypatch.setattr("tenants.links.mint", fail)
    ask(wish(invitation=invitation().token))
    assert not OutboxMail.objects.exists()
