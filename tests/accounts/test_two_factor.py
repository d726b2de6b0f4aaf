"""Two-factor sign-in: asked for on every way in, sealed, each code once, limited for all processes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache

from audit.models import Event
from tenants import links, signup
from tenants.accounts import magic_links
from tenants.models import LinkPurpose, OutboxMail, Stage, User
from tests.accounts.browsing import Visitor, field
from tests.accounts.second_factor import App, give, recovery_codes, turn_on
from tests.factories import make_organisation, make_user, unique
from tests.rollout import standing

pytestmark = pytest.mark.django_db
GOOD = "correct horse battery"


def by_password(user: User, **rest: Any) -> Visitor:
    visitor = Visitor()
    visitor.post("/accounts/login/", {"login": user.email, "password": GOOD}, **rest)
    return visitor


def by_link(user: User, target: str = "/") -> tuple[Visitor, Any]:
    token = links.mint(
        purpose=LinkPurpose.SIGN_IN, user=user, target=target, life=timedelta(minutes=5)
    )
    visitor = Visitor()
    return visitor, visitor.post(f"/sign-in/{token}")


def test_works(django_capture_on_commit_callbacks: Any) -> None:
    user = make_user(password=GOOD)
    with django_capture_on_commit_callbacks(execute=True):
        app = turn_on(user)
    visitor = by_password(user)
    assert not visitor.is_signed_in()
    assert visitor.get("/signup/status").status_code == 401
    give(visitor, app.code(ahead=1))
    assert visitor.is_signed_in()
    assert OutboxMail.objects.filter(recipient=user.email, subject__contains="is on").exists()
    done = Event.objects.filter(actor_id=user.pk).values_list("action", flat=True)
    assert {"two_factor_enabled", "recovery_codes_made", "signed_in"} <= set(done)


def test_people_without_it_are_not_asked() -> None:
    assert by_password(make_user(password=GOOD)).is_signed_in()


def test_a_wrong_code_does_not_sign_in_and_is_noted() -> None:
    user = make_user(password=GOOD)
    app = turn_on(user)
    visitor = by_password(user)
    wrong = f"{(int(app.code()) + 500_000) % 10**6:06}"
    answer = give(visitor, wrong)
    assert "not right" in answer.content.decode()
    assert not visitor.is_signed_in()
    row = Event.objects.filter(action="sign_in_failed", subject=user.email).get()
    assert (row.success, row.reason) == (False, "wrong code")


def test_is_asked_for_after_a_sign_in_link_and_leads_on() -> None:
    user = make_user()
    app = turn_on(user)
    visitor, answer = by_link(user, "/signup/progress")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/accounts/2fa/authenticate/")
    assert not visitor.is_signed_in()
    assert give(visitor, app.code(ahead=1)).headers["Location"] == "/signup/progress"
    assert visitor.is_signed_in()


def test_is_asked_for_after_a_mailed_link() -> None:
    user = make_user()
    app = turn_on(user)
    magic_links.request(email=str(user.email))
    visitor = Visitor()
    path = OutboxMail.objects.filter(recipient=user.email).latest("pk").body
    path = path.split("http://localhost:8000")[1].split()[0]
    assert visitor.post(path).headers["Location"] == "/accounts/2fa/authenticate/"
    assert not visitor.is_signed_in()
    give(visitor, app.code(ahead=1))
    assert visitor.is_signed_in()


def test_is_asked_for_after_a_mailbox_proof() -> None:
    """Somebody who has an account signs up one more organisation: the mailbox alone is not enough."""
    standing.stage(Stage.PUBLIC_BETA)
    user = make_user()
    app = turn_on(user)
    wanted = signup.request_organisation(email=str(user.email), org_name=unique("two"))
    token = links.mint(
        purpose=LinkPurpose.VERIFY_MAILBOX, organisation=wanted, life=timedelta(hours=1)
    )
    visitor = Visitor()
    answer = visitor.post(f"/signup/verify/{token}")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/accounts/2fa/authenticate/")
    assert not visitor.is_signed_in()
    assert give(visitor, app.code(ahead=1)).headers["Location"] == "/signup/progress"


def test_staff_are_asked_on_their_way_to_the_staff_pages() -> None:
    staff = make_user(password=GOOD, is_staff=True, is_superuser=True)
    app = turn_on(staff)
    visitor = Visitor()
    assert visitor.get("/admin/", follow=False).status_code == 302
    visitor.post("/accounts/login/?next=/admin/", {"login": staff.email, "password": GOOD})
    assert visitor.get("/admin/").status_code == 302
    assert give(visitor, app.code(ahead=1)).headers["Location"] == "/admin/"
    assert visitor.get("/admin/").status_code == 200


def test_the_hand_off_does_not_ask_again() -> None:
    user = make_user(password=GOOD)
    organisation = make_organisation(owner=user)
    app = turn_on(user)
    visitor = by_password(user)
    give(visitor, app.code(ahead=1))
    token = field(visitor.post(f"/o/{organisation.label}/"), "token")
    host = organisation.instance_host
    visitor.post("/hand-off", {"token": token}, host, HTTP_ORIGIN="http://localhost:8000")
    assert visitor.get("/api/organisation", host).status_code == 200


def test_a_code_works_once_whichever_process_is_asked() -> None:
    user = make_user(password=GOOD)
    app = turn_on(user)
    code = app.code(ahead=1)
    give(by_password(user), code)
    cache.clear()  # what another process does not know
    again = by_password(user)
    give(again, code)
    assert not again.is_signed_in()


def test_a_recovery_code_works_once() -> None:
    user = make_user(password=GOOD)
    turn_on(user)
    codes = recovery_codes(Visitor().sign_in(user))
    assert len(set(codes)) == 10
    visitor = by_password(user)
    give(visitor, codes[3])
    assert visitor.is_signed_in()
    again = by_password(user)
    give(again, codes[3])
    assert not again.is_signed_in()
    assert codes[3] not in recovery_codes(visitor)
    assert Event.objects.filter(action="recovery_code_used", subject=user.email).count() == 1
    assert "9 recovery codes left" in visitor.get("/accounts/").content.decode()


def test_new_recovery_codes_replace_the_old_ones() -> None:
    user = make_user(password=GOOD)
    turn_on(user)
    visitor = Visitor().sign_in(user)
    old = recovery_codes(visitor)
    visitor.post("/accounts/2fa/recovery-codes/generate/")
    new = recovery_codes(visitor)
    assert not set(old) & set(new)
    late = by_password(user)
    give(late, old[0])
    assert not late.is_signed_in()
    saved = visitor.get("/accounts/2fa/recovery-codes/download/")
    assert all(code in saved.content.decode() for code in new)


def test_secrets_are_sealed_at_rest() -> None:
    user = make_user(password=GOOD)
    app = turn_on(user)
    codes = recovery_codes(Visitor().sign_in(user))
    for row in Authenticator.objects.filter(user=user):
        text = str(row.data)
        assert app.secret not in text
        assert not any(code in text for code in codes)
    totp = Authenticator.objects.get(user=user, type="totp")
    totp.data["secret"] = totp.data["secret"][:-8] + "AAAAAAA="
    totp.save()
    broken = by_password(user)
    with pytest.raises(Exception, match="Sealed with another key"):
        give(broken, app.code(ahead=1))
    assert not broken.is_signed_in()


def test_guessing_codes_is_limited() -> None:
    user = make_user(password=GOOD)
    app = turn_on(user)
    stranger = by_password(user, REMOTE_ADDR="192.0.2.7")
    for _ in range(5):
        stranger.post("/accounts/2fa/authenticate/", {"code": "x"}, REMOTE_ADDR="192.0.2.7")
    right = {"code": app.code(ahead=1)}
    answer = stranger.post("/accounts/2fa/authenticate/", right, REMOTE_ADDR="192.0.2.7")
    assert "Too many wrong codes" in answer.content.decode()
    assert not stranger.is_signed_in()
    owner = by_password(user)
    give(owner, app.code(ahead=1))
    assert owner.is_signed_in()


def test_turning_off_needs_a_recent_proof_and_takes_the_codes_along() -> None:
    user = make_user(password=GOOD)
    turn_on(user)
    visitor = Visitor().sign_in(user)
    session = visitor.at("localhost").session
    session["_signed_in_at"] -= 301
    session.save()
    answer = visitor.post("/accounts/2fa/totp/deactivate/")
    assert answer.headers["Location"].startswith("/accounts/reauthenticate/?next=")
    assert Authenticator.objects.filter(user=user).count() == 2
    Visitor().sign_in(user).post("/accounts/2fa/totp/deactivate/")
    assert not Authenticator.objects.filter(user=user).exists()
    assert by_password(user).is_signed_in()
    assert Event.objects.filter(action="two_factor_disabled", subject=user.email).exists()


def test_a_link_for_somebody_else_ends_the_session_that_was_there() -> None:
    user = make_user()
    app = turn_on(user)
    token = links.mint(purpose=LinkPurpose.SIGN_IN, user=user, life=timedelta(minutes=5))
    visitor = Visitor().sign_in(make_user())
    visitor.post(f"/sign-in/{token}")
    assert not visitor.is_signed_in()
    give(visitor, app.code(ahead=1))
    assert visitor.at("localhost").session["_auth_user_id"] == str(user.pk)


def test_the_app_agrees_with_the_standard() -> None:
    """RFC 6238 appendix B, cut to six digits."""
    import base64
    from unittest.mock import patch

    app = App(base64.b32encode(b"12345678901234567890").decode())
    for at, code in ((59, "287082"), (1111111109, "081804"), (2000000000, "279037")):
        with patch("time.time", return_value=at):
            assert app.code() == code


@pytest.mark.parametrize("code", ["", " ", "１２３４５６", "²²²²²²", "\x00", "9" * 500, "é" * 6])
def test_odd_codes_are_refused_politely(code: str) -> None:
    user = make_user(password=GOOD)
    turn_on(user)
    visitor = by_password(user)
    assert give(visitor, code).status_code == 200
    assert not visitor.is_signed_in()


def test_one_can_begin_again_as_somebody_else() -> None:
    user = make_user(password=GOOD)
    turn_on(user)
    visitor = by_password(user)
    assert visitor.get("/accounts/login/").headers["Location"] == "/accounts/2fa/authenticate/"
    answer = visitor.post("/accounts/logout/", {"next": "/accounts/login/"})
    assert answer.headers["Location"] == "/accounts/login/"
    assert visitor.get("/accounts/login/").status_code == 200
