"""What staff do about a customer's account: shut it, open it, take a lost second factor off."""

from __future__ import annotations

from io import StringIO
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from audit.actors import Actor
from audit.models import Event
from tenants.accounts import entry, rescue
from tenants.http.problems import Problem
from tenants.models import OutboxMail
from tests.accounts.browsing import Visitor
from tests.accounts.second_factor import turn_on
from tests.factories import make_organisation, make_token, make_user, owner_of

pytestmark = pytest.mark.django_db
STAFF = Actor("staff", "1", "staff@example.test")


def code_of(act: object, **options: object) -> str:
    with pytest.raises(Problem) as refused:
        act(**options)  # type: ignore[operator]
    return refused.value.code


def test_a_closed_account_is_shut_out_everywhere_until_it_is_opened() -> None:
    organisation = make_organisation()
    owner = owner_of(organisation)
    visitor = Visitor().sign_in(owner)
    token = make_token(organisation)
    program = Client(headers={"host": organisation.instance_host, "X-API-Token": token})
    assert program.get("/api/organisation").status_code == 200
    rescue.close(user=owner, actor=STAFF, reason="stolen")
    assert visitor.get("/accounts/sessions/").status_code == 302
    assert program.get("/api/organisation").status_code == 401
    link = urlsplit(entry.sign_in_link(owner)).path
    assert Visitor().post(link).status_code == 404
    assert code_of(rescue.close, user=owner, actor=STAFF, reason="") == "already_closed"
    rescue.reopen(user=owner, actor=STAFF, reason="it was them")
    assert program.get("/api/organisation").status_code == 200
    assert code_of(rescue.reopen, user=owner, actor=STAFF, reason="") == "not_closed"
    rows = Event.objects.filter(subject=str(owner), action__startswith="account_")
    assert [(row.action, row.reason, row.actor_kind) for row in rows.order_by("id")] == [
        ("account_closed", "stolen", "staff"),
        ("account_reopened", "it was them", "staff"),
    ]


def test_a_lost_second_factor_is_taken_off_and_the_mailbox_is_told() -> None:
    user = make_user()
    turn_on(user)
    assert entry.has_second_factor(user)
    rescue.remove_second_factor(user=user, actor=STAFF, reason="lost the phone")
    assert not entry.has_second_factor(user)
    assert "removed" in OutboxMail.objects.filter(recipient=user.email).latest("pk").subject
    assert Event.objects.get(action="two_factor_removed").reason == "lost the phone"
    options = {"user": user, "actor": STAFF, "reason": ""}
    assert code_of(rescue.remove_second_factor, **options) == "no_second_factor"


def test_staff_are_looked_after_on_the_command_line_only() -> None:
    colleague = make_user(is_staff=True)
    turn_on(colleague)
    for act in (rescue.close, rescue.reopen, rescue.remove_second_factor):
        assert code_of(act, user=colleague, actor=STAFF, reason="") == "staff_account"
    said = StringIO()
    call_command("remove_second_factor", str(colleague.email), reason="lost", stdout=said)
    assert "without a second factor" in said.getvalue()
    assert not entry.has_second_factor(colleague)
    with pytest.raises(CommandError, match="off for this account"):
        call_command("remove_second_factor", str(colleague.email), reason="lost")
    with pytest.raises(CommandError, match="no account"):
        call_command("remove_second_factor", "nobody@example.test", reason="lost")


def test_who_waits_at_the_code_page_meanwhile_starts_anew() -> None:
    user = make_user(password="correct horse battery")
    turn_on(user)
    visitor = Visitor()
    form = {"login": user.email, "password": "correct horse battery"}
    assert visitor.post("/accounts/login/", form)["Location"] == "/accounts/2fa/authenticate/"
    rescue.remove_second_factor(user=user, actor=STAFF, reason="lost the phone")
    assert visitor.get("/accounts/2fa/authenticate/")["Location"] == "/accounts/login/"
    assert visitor.get("/accounts/login/").status_code == 200
    visitor.post("/accounts/login/", form)
    assert visitor.is_signed_in()
