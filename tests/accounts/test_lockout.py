"""Tries are limited for all processes, and nobody can lock an owner out from everywhere."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache

from audit.models import Event
from tenants.accounts import lockout
from tenants.models import User
from tests.accounts.browsing import Visitor
from tests.accounts.second_factor import give, turn_on
from tests.factories import make_user, unique

pytestmark = pytest.mark.django_db
GOOD = "correct horse battery"


def sign_in(user: User | str, password: str, visitor: Visitor | None = None, **rest: Any) -> Any:
    visitor = visitor or Visitor()
    login = user if isinstance(user, str) else user.email
    answer = visitor.post("/accounts/login/", {"login": login, "password": password}, **rest)
    return visitor, answer.content.decode()


def guess(user: User, address: str, times: int) -> str:
    said = ""
    for _ in range(times):
        cache.clear()  # as if each went to another process
        said = sign_in(user, "wrong", REMOTE_ADDR=address)[1]
    return said


def test_five_wrong_tries_shut_an_account_to_that_address() -> None:
    user = make_user(password=GOOD)
    assert "Too many" not in guess(user, "192.0.2.1", 5)
    visitor, said = sign_in(user, GOOD, REMOTE_ADDR="192.0.2.1")
    assert "Too many failed tries" in said
    assert not visitor.is_signed_in()
    assert sign_in(user, GOOD, REMOTE_ADDR="192.0.2.2")[0].is_signed_in()


def test_an_unknown_account_is_shut_alike() -> None:
    """Whether there is an account does not show."""
    user, nobody = make_user(password=GOOD), f"{unique('nobody')}@example.test"
    known = [sign_in(user, "wrong", REMOTE_ADDR="192.0.2.3")[1] for _ in range(6)]
    unknown = [sign_in(nobody, "wrong", REMOTE_ADDR="192.0.2.4")[1] for _ in range(6)]
    for one, other in zip(known, unknown, strict=True):
        assert ("Too many" in one) == ("Too many" in other)
        assert ("not correct" in one) == ("not correct" in other)


def test_success_gives_the_tries_back() -> None:
    user = make_user(password=GOOD)
    for _ in range(3):
        guess(user, "192.0.2.5", 2)
        assert sign_in(user, GOOD, REMOTE_ADDR="192.0.2.5")[0].is_signed_in()


def test_guessing_from_many_addresses_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "TRIES_IN_ALL", 6)
    user = make_user(password=GOOD)
    for n in range(6):
        guess(user, f"198.51.100.{n}", 1)
    assert not sign_in(user, GOOD, REMOTE_ADDR="198.51.100.99")[0].is_signed_in()


def test_the_owners_own_browser_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever guesses from everywhere does not keep the owner out."""
    monkeypatch.setattr(lockout, "TRIES_IN_ALL", 6)
    user = make_user(password=GOOD)
    home, _ = sign_in(user, GOOD)
    home.post("/accounts/logout/")
    for n in range(6):
        guess(user, f"198.51.100.{n}", 1)
    guess(user, "127.0.0.1", 6)  # even from the owner's own network
    assert not sign_in(user, GOOD)[0].is_signed_in()
    sign_in(user, GOOD, home)
    assert home.is_signed_in()


def test_a_known_browser_is_known_to_its_account_only() -> None:
    mine, other = make_user(password=GOOD), make_user(password=GOOD)
    visitor, _ = sign_in(mine, GOOD)
    visitor.post("/accounts/logout/")
    for _ in range(5):
        sign_in(other, "wrong", visitor, REMOTE_ADDR="203.0.113.5")
    assert not sign_in(other, GOOD, REMOTE_ADDR="203.0.113.5")[0].is_signed_in()
    forged = Visitor()
    forged.at("localhost").cookies[lockout.COOKIE] = "forged:value:here"
    assert "not correct" in sign_in(mine, "wrong", forged)[1]


def test_the_cookie_tells_nothing_and_goes_nowhere_else() -> None:
    user = make_user(password=GOOD)
    visitor, _ = sign_in(user, GOOD)
    cookie = visitor.at("localhost").cookies[lockout.COOKIE]
    assert str(user.email) not in cookie.value
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/accounts/", True, "Lax")


@pytest.mark.covers("F71")
def test_a_forged_forwarding_header_is_not_believed() -> None:
    user = make_user(password=GOOD)
    for n in range(6):
        sign_in(user, "wrong", REMOTE_ADDR="192.0.2.9", HTTP_X_FORWARDED_FOR=f"10.1.1.{n}")
    _, said = sign_in(user, GOOD, REMOTE_ADDR="192.0.2.9", HTTP_X_FORWARDED_FOR="10.9.9.9")
    assert "Too many" in said


def test_addresses_are_limited_over_all_accounts() -> None:
    for _ in range(10):
        sign_in(f"{unique('x')}@example.test", "wrong", REMOTE_ADDR="198.51.100.1")
    other = make_user(password=GOOD)
    assert not sign_in(other, GOOD, REMOTE_ADDR="198.51.100.1")[0].is_signed_in()
    assert sign_in(other, GOOD, REMOTE_ADDR="198.51.100.2")[0].is_signed_in()


def test_failures_are_noted_and_cannot_fill_the_trail() -> None:
    user = make_user(password=GOOD)
    guess(user, "192.0.2.8", 9)
    rows = Event.objects.filter(action="sign_in_failed", subject=user.email)
    assert rows.count() == 6  # five wrong ones, and one for all that came after
    assert {(r.success, r.address, r.actor_kind) for r in rows} == {
        (False, "192.0.2.8", "anonymous")
    }
    assert GOOD not in str(list(rows.values()))
    assert "wrong" not in str([r.after for r in rows])


def test_confirming_is_limited_as_well() -> None:
    user = make_user(password=GOOD)
    visitor = Visitor().sign_in(user)
    for _ in range(5):
        visitor.post("/accounts/reauthenticate/", {"password": "wrong"})
    answer = visitor.post("/accounts/reauthenticate/", {"password": GOOD})
    assert "Too many" in answer.content.decode()
    assert Event.objects.filter(action="confirm_failed", actor_id=user.pk, success=False).exists()


def test_the_right_password_gives_no_tries_at_codes_back() -> None:
    """Who knows the password guesses no more codes by signing in again in between."""
    user = make_user(password=GOOD)
    turn_on(user)
    said = ""
    for _ in range(6):
        visitor, _ = sign_in(user, GOOD)
        said = give(visitor, "000000").content.decode()
    assert "Too many wrong codes" in said


def test_codes_are_limited_from_a_known_browser_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "CODES_WHERE_KNOWN", 3)
    user = make_user(password=GOOD)
    home, _ = sign_in(user, GOOD)
    home.post("/accounts/logout/")
    turn_on(user)
    sign_in(user, GOOD, home)
    said = [give(home, f"00000{n}").content.decode() for n in range(4)]
    assert ["Too many wrong codes" in text for text in said] == [False] * 3 + [True]
