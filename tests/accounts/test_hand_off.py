"""From the base domain to an organisation's host, and nowhere else."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tenants.models import Link, Membership, Organisation, Session, State
from tests.accounts.browsing import Visitor, field
from tests.factories import add_member, make_organisation, make_user, owner_of

pytestmark = pytest.mark.django_db
ORIGIN = "http://localhost:8000"


def minted(visitor: Visitor, organisation: Organisation) -> str:
    return field(visitor.post(f"/o/{organisation.label}/"), "token")


def hand_off(visitor: Visitor, organisation: Organisation, token: str, **rest: Any) -> Any:
    rest = {"HTTP_ORIGIN": ORIGIN, **rest}
    return visitor.post("/hand-off", {"token": token}, organisation.instance_host, **rest)


def test_works() -> None:
    organisation = make_organisation()
    visitor = Visitor().sign_in(owner_of(organisation))
    page = visitor.get(f"/o/{organisation.label}/")
    assert "data-send-now" in page.content.decode()
    handed = visitor.post(f"/o/{organisation.label}/")
    text = handed.content.decode()
    assert f'action="http://{organisation.instance_host}:8000/hand-off"' in text
    # With the site's usual policy the browser would say `Origin: null`.
    assert handed.headers["Referrer-Policy"] == "strict-origin"
    answer = hand_off(visitor, organisation, field(handed, "token"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    host = organisation.instance_host
    assert visitor.is_signed_in(host)
    assert set(Session.objects.values_list("host", flat=True)) == {"localhost", host}
    assert visitor.get("/api/organisation", host).status_code == 200


@pytest.mark.covers("F16")
def test_a_session_of_one_host_is_none_on_another() -> None:
    """Browsers keep cookies apart; a program that does not gets nothing by it."""
    mine, other = make_organisation(), make_organisation()
    owner = owner_of(mine)
    Membership.objects.create(organisation=other, user=owner)
    visitor = Visitor().sign_in(owner)
    hand_off(visitor, mine, minted(visitor, mine))
    stolen = visitor.at(mine.instance_host).cookies["pulsecloud_session"].value
    for host in (other.instance_host, "localhost"):
        thief = Visitor()
        thief.at(host).cookies["pulsecloud_session"] = stolen
        path = "/signup/status" if host == "localhost" else "/api/organisation"
        assert thief.get(path, host).status_code == 401
    assert visitor.get("/api/organisation", mine.instance_host).status_code == 200


def test_strangers_cannot_tell_a_label_that_is_from_one_that_is_not() -> None:
    organisation = make_organisation()
    outsider = Visitor().sign_in(make_user())
    answers = [
        getattr(outsider, method)(f"/o/{label}/")
        for label in (organisation.label, "nobody-has-this")
        for method in ("get", "post")
    ]
    assert {a.status_code for a in answers} == {404}
    csrf = re.compile(r'name="csrfmiddlewaretoken" value="\w+"')
    assert len({csrf.sub("", a.content.decode()) for a in answers}) == 1
    anonymous = [Visitor().get(f"/o/{label}/") for label in (organisation.label, "nobody-has-this")]
    assert {a.status_code for a in anonymous} == {302}
    assert all(a.headers["Location"].startswith("/accounts/login/?next=/o/") for a in anonymous)


def test_a_token_works_once() -> None:
    organisation = make_organisation()
    visitor = Visitor().sign_in(owner_of(organisation))
    token = minted(visitor, organisation)
    hand_off(visitor, organisation, token)
    again = Visitor()
    answer = hand_off(again, organisation, token)
    assert answer.headers["Location"] == f"{ORIGIN}/o/{organisation.label}/"
    assert not again.is_signed_in(organisation.instance_host)


def test_a_token_lives_60_seconds_and_for_one_host() -> None:
    organisation, other = make_organisation(), make_organisation()
    owner = owner_of(organisation)
    Membership.objects.create(organisation=other, user=owner)
    visitor = Visitor().sign_in(owner)
    token = minted(visitor, organisation)
    left = Link.objects.get().expires_at - timezone.now()
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    hand_off(visitor, other, token)
    assert not visitor.is_signed_in(other.instance_host)
    old = minted(visitor, organisation)
    Link.objects.filter(used_at=None).update(expires_at=timezone.now())
    hand_off(visitor, organisation, old)
    assert not visitor.is_signed_in(organisation.instance_host)


@pytest.mark.parametrize(
    "origin",
    [None, "null", "https://evil.example", "http://localhost:9999", "http://org.localhost:8000"],
)
def test_is_taken_from_the_base_domain_only(origin: str | None) -> None:
    """Otherwise anybody could sign a visitor in as somebody else."""
    organisation = make_organisation()
    visitor = Visitor().sign_in(owner_of(organisation))
    token = minted(visitor, organisation)
    victim = Visitor()
    headers = {} if origin is None else {"HTTP_ORIGIN": origin}
    victim.post("/hand-off", {"token": token}, organisation.instance_host, **headers)
    assert not victim.is_signed_in(organisation.instance_host)
    assert Link.objects.get().used_at is None


def test_who_left_meanwhile_or_was_closed_does_not_get_in() -> None:
    organisation = make_organisation()
    left, closed = add_member(organisation), add_member(organisation)
    for user in (left, closed):
        visitor = Visitor().sign_in(user)
        token = minted(visitor, organisation)
        if user == left:
            Membership.objects.filter(user=user).delete()
        else:
            user.is_active = False
            user.save()
        hand_off(visitor, organisation, token)
        assert not visitor.is_signed_in(organisation.instance_host)


@pytest.mark.parametrize(
    ("state", "shows"),
    [
        (State.SUSPENDED, "is suspended"),
        (State.PENDING_DELETION, "is suspended"),
        (State.PURGING, "is not ready yet"),
        (State.FAILED, "is not ready yet"),
    ],
)
def test_one_that_is_not_active_is_not_entered(state: str, shows: str) -> None:
    """H4: upstream gives a suspended organisation's owner a session."""
    organisation = make_organisation(state)
    visitor = Visitor().sign_in(owner_of(organisation))
    answer = visitor.post(f"/o/{organisation.label}/")
    assert answer.status_code == 403
    assert shows in answer.content.decode()
    assert not Link.objects.exists()


def test_one_that_is_being_set_up_leads_to_its_progress() -> None:
    organisation = make_organisation(State.PROVISIONING)
    visitor = Visitor().sign_in(owner_of(organisation))
    assert visitor.get(f"/o/{organisation.label}/").headers["Location"] == "/signup/progress"


def test_hosted_mode_off_hides_both_ends(settings: Any) -> None:
    organisation = make_organisation()
    visitor = Visitor().sign_in(owner_of(organisation))
    token = minted(visitor, organisation)
    settings.HOSTED_MODE = False
    assert visitor.get(f"/o/{organisation.label}/").status_code == 404
    assert hand_off(visitor, organisation, token).status_code == 404


def test_signing_out_of_a_host_ends_the_session_that_led_there() -> None:
    organisation = make_organisation()
    owner = owner_of(organisation)
    visitor, elsewhere = Visitor().sign_in(owner), Visitor().sign_in(owner)
    hand_off(visitor, organisation, minted(visitor, organisation))
    host = organisation.instance_host
    assert visitor.get("/sign-out", host).status_code == 405
    assert visitor.post("/sign-out", host=host).headers["Location"] == f"{ORIGIN}/"
    assert visitor.get("/api/organisation", host).status_code == 401
    assert visitor.get("/signup/status").status_code == 401
    assert elsewhere.get("/signup/status").status_code == 200


def test_signing_out_of_the_base_domain_ends_what_it_handed_over() -> None:
    organisation = make_organisation()
    visitor = Visitor().sign_in(owner_of(organisation))
    hand_off(visitor, organisation, minted(visitor, organisation))
    visitor.post("/accounts/logout/")
    assert visitor.get("/api/organisation", organisation.instance_host).status_code == 401
    assert not Session.objects.filter(host=organisation.instance_host).exists()
