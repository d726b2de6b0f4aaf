"""Look-alike addresses beyond ASCII are nobody's: no way in takes their holder for another person.

PostgreSQL's UPPER makes I of ı and S of ſ; Python's lower() makes k of the Kelvin sign.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from audit.actors import Actor
from tenants import invitations, links, mailboxes, signup
from tenants.accounts import entry
from tenants.http.problems import Problem
from tenants.models import (
    Link,
    LinkPurpose,
    MemberInvitation,
    Organisation,
    OutboxMail,
    Stage,
    User,
)
from tenants.people import member_invitations
from tests.accounts.browsing import Visitor
from tests.factories import make_organisation, make_user, owner_of, unique
from tests.members.people import Caller, invite, told
from tests.rollout import standing
from tests.signup.asking import ask, invitation, wish

pytestmark = pytest.mark.django_db
GOOD = "correct horse battery"
LETTERS = [
    pytest.param(("i", "\u0131"), id="dotless-i"),
    pytest.param(("s", "\u017f"), id="long-s"),
    pytest.param(("k", "\u212a"), id="kelvin"),
]
Pair = tuple[User, str]


@pytest.fixture(params=LETTERS)
def pair(request: Any) -> Pair:
    """A person, and an address that case folding would take for theirs."""
    letter, other = request.param
    user = make_user(f"v{letter}ctim-{unique('x')}@example.test", password=GOOD)
    return user, str(user.email).replace(letter, other, 1)


def untouched(user: User) -> bool:
    now = User.objects.get(pk=user.pk)
    fields = ("email", "password", "email_verified_at", "is_active", "last_login")
    unchanged = all(getattr(now, name) == getattr(user, name) for name in fields)
    return unchanged and not OutboxMail.objects.exists()


def test_no_look_up_finds_anybody(pair: Pair) -> None:
    user, other = pair
    assert entry.find(other) is None
    assert entry.find(str(user.email).upper()) == user
    assert not mailboxes.same(other, user.email)
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key(other)
    assert User.objects.get_by_natural_key(str(user.email).upper()) == user
    with pytest.raises(ValidationError):
        entry.find_or_create_proved(other)
    with pytest.raises(ValidationError):
        make_user(other)
    assert untouched(user)


def test_signing_up_is_refused(pair: Pair) -> None:
    user, other = pair
    before = Organisation.objects.count(), Link.objects.count()
    answer = ask(wish(email=other, invitation=invitation().token))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_email")
    page = Visitor().post("/signup", {"email": other, "org_name": "Example Ltd"})
    assert mailboxes.NOT_ASCII in page.content.decode()
    assert (Organisation.objects.count(), Link.objects.count()) == before
    assert untouched(user)


def test_a_request_from_before_that_rule_proves_nothing(pair: Pair) -> None:
    user, other = pair
    standing.stage(Stage.PUBLIC_BETA)
    wanted = signup.request_organisation(email=other, org_name=unique("old"))
    token = links.mint(
        purpose=LinkPurpose.VERIFY_MAILBOX, organisation=wanted, life=timedelta(days=1)
    )
    visitor = Visitor()
    assert visitor.post(f"/signup/verify/{token}").status_code == 404
    assert not visitor.is_signed_in() and untouched(user)


def by_page(path: str, **data: str) -> Callable[[str], tuple[Visitor, Any]]:
    def post(address: str) -> tuple[Visitor, Any]:
        visitor = Visitor()
        filled = {name: value or address for name, value in data.items()}
        return visitor, visitor.post(path, filled)

    return post


@pytest.mark.parametrize(
    "ask_by",
    [
        pytest.param(by_page("/accounts/magic-link/", email=""), id="magic-link"),
        pytest.param(by_page("/accounts/password/reset/", email=""), id="reset"),
        pytest.param(by_page("/accounts/login/", login="", password=GOOD), id="sign-in"),
    ],
)
def test_pages_refuse_it_with_clear_words(
    pair: Pair, ask_by: Callable[[str], tuple[Visitor, Any]]
) -> None:
    user, other = pair
    visitor, answer = ask_by(other)
    assert answer.status_code in (200, 400)
    assert mailboxes.NOT_ASCII in answer.content.decode()
    assert not visitor.is_signed_in() and not Link.objects.filter(user=user).exists()
    assert untouched(user)


def test_the_route_for_mailed_links_refuses_it(pair: Pair) -> None:
    user, other = pair
    data = {"email": other}
    answer = Visitor().post("/api/public/magic-link/request", data, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_email")
    assert untouched(user)


def test_members_and_guests_of_the_beta_are_not_invited_so(pair: Pair) -> None:
    user, other = pair
    organisation = make_organisation()
    with pytest.raises(Problem) as refused:
        invite(organisation, other)
    assert (refused.value.status, refused.value.code) == (400, "invalid_user")
    with pytest.raises(invitations.InvalidInvitation):
        invitation(other)
    with pytest.raises(CommandError, match="plain letters"):
        call_command("invite", "--email", other, stdout=StringIO())
    assert not MemberInvitation.objects.exists() and untouched(user)


def test_an_invitation_from_before_that_rule_lets_nobody_in(pair: Pair) -> None:
    user, other = pair
    organisation = make_organisation()
    sent, token = invite(organisation)
    MemberInvitation.objects.filter(pk=sent.pk).update(email=other)
    sent.refresh_from_db()
    visitor = Visitor()
    assert visitor.post(f"/join/{token}").status_code == 404
    assert not visitor.is_signed_in()
    with pytest.raises(Problem) as refused:
        member_invitations.accept(invitation=sent, user=user, actor=Actor.person(user))
    assert refused.value.code == "invitation_not_found"
    assert not organisation.memberships.filter(user=user).exists()
    owner = Caller(owner_of(organisation), organisation)
    route = f"/api/orgs/{organisation.pk}/invitations/{user.email}/resend"
    assert told(owner("POST", route))[0] == 404
    OutboxMail.objects.all().delete()
    assert untouched(user)


def test_the_command_line_makes_no_such_account(pair: Pair) -> None:
    _, other = pair
    with pytest.raises(CommandError, match="plain letters"):
        call_command("createsuperuser", "--noinput", "--email", other, stdout=StringIO())


def test_a_reset_goes_to_the_accounts_own_spelling() -> None:
    user = make_user()
    Visitor().post("/accounts/password/reset/", {"email": str(user.email).upper()})
    assert OutboxMail.objects.get(body__contains="/key/").recipient == user.email
