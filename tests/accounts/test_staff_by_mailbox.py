"""A mailbox alone never opens the staff pages: not by a reset, not by any mailed link."""

from __future__ import annotations

from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command

from audit.actors import Actor
from tenants.accounts import entry, magic_links, rescue
from tenants.models import OutboxMail, User
from tests.accounts.browsing import Visitor
from tests.accounts.second_factor import give, turn_on
from tests.accounts.test_passwords import key_path, reset, set_password, sign_in
from tests.factories import make_user

pytestmark = pytest.mark.django_db
OLD, GOOD = "the password before", "correct horse battery"


def promote(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True)


def newest_mail(user: User) -> OutboxMail:
    return OutboxMail.objects.filter(recipient=user.email).latest("pk")


def test_staff_without_a_second_factor_get_words_instead_of_a_link() -> None:
    staff, person = make_user(password=OLD, is_staff=True), make_user()
    answers = [reset(user.email) for user in (staff, person)]
    assert len({(a.status_code, a.headers["Location"]) for a in answers}) == 1
    body = newest_mail(staff).body
    assert "command line" in body and "/key/" not in body and "http" not in body
    assert "/key/" in newest_mail(person).body


def test_staff_with_a_second_factor_reset_and_still_give_a_code() -> None:
    staff = make_user(password=OLD, is_staff=True)
    app = turn_on(staff)
    reset(staff.email)
    set_password(key_path(staff.email))
    visitor, _ = sign_in(staff.email, GOOD)
    assert not visitor.is_signed_in()
    give(visitor, app.code(ahead=1))
    assert visitor.is_signed_in()


def test_a_reset_link_is_judged_when_it_is_used() -> None:
    """Who became staff after the mail, and who lost the second factor after it."""
    person, staff = make_user(password=OLD), make_user(password=OLD, is_staff=True)
    turn_on(staff)
    for user in (person, staff):
        reset(user.email)
    paths = {user: key_path(user.email) for user in (person, staff)}
    promote(person)
    rescue.remove_second_factor(
        user=staff, actor=Actor.system("test"), reason="lost", staff_too=True
    )
    for user, path in paths.items():
        visitor = Visitor()
        step = visitor.get(path).headers["Location"]
        page = visitor.post(step, {"password1": GOOD, "password2": GOOD})
        assert "Ask whoever runs this server" in page.content.decode()
        assert User.objects.get(pk=user.pk).check_password(OLD)


def test_mailed_links_are_judged_when_they_are_used() -> None:
    user = make_user()
    mailed = urlsplit(entry.sign_in_link(user)).path
    magic_links.request(email=str(user.email))
    magic = newest_mail(user).body.split("http://localhost:8000")[1].split()[0]
    promote(user)
    visitor = Visitor()
    assert visitor.post(mailed).status_code == 404
    assert "error=magic_link_invalid" in visitor.get(magic).headers["Location"]
    assert "error=magic_link_invalid" in visitor.post(magic).headers["Location"]
    assert not visitor.is_signed_in()


def test_a_link_printed_at_the_machine_opens_them_in_development_only(settings: Any) -> None:
    staff = make_user(is_staff=True, is_superuser=True)
    visitors = []
    for production in (False, True):
        out = StringIO()
        settings.PRODUCTION = False
        call_command("sign_in_link", str(staff.email), "--to", "/admin/", stdout=out)
        settings.PRODUCTION = production
        visitors.append(Visitor())
        visitors[-1].post(urlsplit(out.getvalue().strip()).path)
    assert [visitor.is_signed_in() for visitor in visitors] == [True, False]
