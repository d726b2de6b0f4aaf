"""Closing an account wins over whatever its person is doing at that moment."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection

from audit.actors import Actor
from tenants.accounts import entry, passwords, rescue
from tenants.accounts.adapter import AccountAdapter
from tenants.models import Session, User
from tests.accounts.browsing import Visitor
from tests.factories import make_user, unique

STAFF = Actor("staff", "1", "staff@example.test")
OLD, GOOD = "the password before", "correct horse battery"


def close(user: User) -> None:
    rescue.close(user=user, actor=STAFF, reason="stolen")


@pytest.mark.django_db
def test_a_new_password_neither_opens_the_account_nor_is_kept() -> None:
    user = make_user(password=OLD)
    close(User.objects.get(pk=user.pk))
    with pytest.raises(PermissionDenied):
        AccountAdapter().set_password(user, GOOD)
    now = User.objects.get(pk=user.pk)
    assert not now.is_active and now.check_password(OLD)


@pytest.mark.django_db
def test_of_two_new_passwords_the_first_stays() -> None:
    """A change begun with the password that a reset has replaced meanwhile."""
    user = make_user(password=OLD)
    AccountAdapter().set_password(User.objects.get(pk=user.pk), GOOD)
    with pytest.raises(PermissionDenied):
        AccountAdapter().set_password(user, "what a thief wants")
    assert User.objects.get(pk=user.pk).check_password(GOOD)


@pytest.mark.django_db
@pytest.mark.parametrize("proved", [True, False])
def test_a_proof_of_the_mailbox_does_not_open_it(
    monkeypatch: pytest.MonkeyPatch, proved: bool
) -> None:
    user = make_user(**({} if proved else {"email_verified_at": None}))
    find = entry.find

    def then_closed(email: str) -> User | None:
        found = find(email)
        close(user)
        return found

    monkeypatch.setattr(entry, "find", then_closed)
    entry.find_or_create_proved(str(user.email))
    now = User.objects.get(pk=user.pk)
    assert not now.is_active and now.email_verified_at


@pytest.mark.parametrize("page", ["change", "set"])
def test_no_session_outlives_it(live_db: None, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    """The new session of a password change comes to be while staff close the account."""
    user = make_user(f"{unique('closed')}@example.test", password=OLD if page == "change" else None)
    visitor = Visitor().sign_in(user)
    holding, closing = threading.Event(), threading.Event()
    hold = passwords.hold
    answers: list[Any] = []

    def slowly(held: User) -> None:
        hold(held)
        holding.set()
        closing.wait(10)

    def act() -> None:
        try:
            new = {"oldpassword": OLD, "password1": GOOD, "password2": GOOD}
            answers.append(visitor.post(f"/accounts/password/{page}/", new).status_code)
        finally:
            connection.close()

    monkeypatch.setattr(passwords, "hold", slowly)
    changing = threading.Thread(target=act)
    changing.start()
    assert holding.wait(10)
    threading.Timer(0.3, closing.set).start()  # by then the next line waits for the lock
    close(user)
    changing.join(10)
    assert answers in ([302], [400])
    assert not Session.objects.filter(user=user.pk).exists()
    rescue.reopen(user=user, actor=STAFF, reason="it was them")
    assert visitor.get("/signup/status").status_code == 401
