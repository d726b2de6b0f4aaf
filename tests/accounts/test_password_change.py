"""Changing a password takes the old one, which cannot be guessed there any better than elsewhere."""

from __future__ import annotations

import pytest

from audit.models import Event
from tests.accounts.browsing import Visitor
from tests.factories import make_user

pytestmark = pytest.mark.django_db
OLD, GOOD = "the password before", "correct horse battery"
PATH = "/accounts/password/change/"


def form(old: str) -> dict[str, str]:
    return {"oldpassword": old, "password1": GOOD, "password2": GOOD}


def test_the_old_password_is_tried_five_times_and_noted() -> None:
    user = make_user(password=OLD)
    visitor = Visitor().sign_in(user)
    for _ in range(5):
        assert visitor.post(PATH, form("wrong")).status_code == 200
    assert "Too many failed tries" in visitor.post(PATH, form(OLD)).content.decode()
    user.refresh_from_db()
    assert user.check_password(OLD)
    rows = Event.objects.filter(action="confirm_failed", actor_id=user.pk, success=False)
    assert rows.count() == 6
    assert set(rows.values_list("path", flat=True)) == {PATH}


def test_it_works_after_a_wrong_try() -> None:
    user = make_user(password=OLD)
    visitor = Visitor().sign_in(user)
    visitor.post(PATH, form("wrong"))
    assert visitor.post(PATH, form(OLD)).status_code == 302
    user.refresh_from_db()
    assert user.check_password(GOOD) and visitor.is_signed_in()


@pytest.mark.parametrize("method", ["get", "post"])
def test_staff_change_theirs_at_the_same_place(method: str) -> None:
    staff = make_user(password=OLD, is_staff=True, is_superuser=True)
    visitor = Visitor().sign_in(staff)
    wrong = {"old_password": OLD, "new_password1": GOOD, "new_password2": GOOD}
    answer = getattr(visitor, method)("/admin/password_change/", data=wrong)
    assert (answer.status_code, answer["Location"]) == (302, PATH)
    staff.refresh_from_db()
    assert staff.check_password(OLD)
