"""The account pages in a real browser, at phone and desktop width; screenshots stay in tmp_path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from tenants.accounts import entry
from tenants.accounts.sessions import SessionStore
from tenants.models import User
from tests.accounts.browsing import Visitor
from tests.accounts.second_factor import App
from tests.admin.browser import Window, served, window
from tests.factories import make_organisation, make_user, sign_in

pytestmark = pytest.mark.chromium
GOOD = "correct horse battery"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Safari/604.1"
SIZES = [((1280, 800), "light"), ((360, 740), "dark")]


class Look:
    """Opens, looks, and keeps a picture of each page."""

    def __init__(self, opened: Window, folder: Path) -> None:
        self.window, self.page, self.folder = opened, opened.page, folder

    def at(self, heading: str, name: str) -> None:
        self.page.get_by_role("heading", name=heading, exact=True).first.wait_for()
        assert self.window.wider_than_screen() <= 0, f"{name} is too wide"
        self.page.screenshot(path=self.folder / f"{name}.png", full_page=True)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def fill(self, label: str, value: str) -> None:
        self.page.get_by_label(label, exact=True).fill(value)


def elsewhere(user: User) -> None:
    """A second browser of the same person."""
    data = {"login": user.email, "password": GOOD}
    Visitor().post("/accounts/login/", data, HTTP_USER_AGENT=SAFARI, REMOTE_ADDR="192.0.2.44")


def stale(opened: Window) -> None:
    """The browser's sign-in was 400 seconds ago."""
    cookies = {c["name"]: c["value"] for c in opened.page.context.cookies()}
    session = SessionStore(cookies[settings.SESSION_COOKIE_NAME])
    session["_signed_in_at"] -= 400
    session.save()


@pytest.mark.parametrize(("size", "scheme"), SIZES)
def test_two_factors_sessions_and_the_way_back_in(
    live_db: None, size: tuple[int, int], scheme: str, tmp_path: Path
) -> None:
    user = make_user(password=GOOD)
    make_organisation(owner=user, display_name="Köln & Söhne")
    client = Client()
    sign_in(client, user)
    elsewhere(user)
    options: dict[str, Any] = {"color_scheme": scheme}
    box = {"width": size[0], "height": size[1]}
    with served() as address, window(client, address, box, **options) as opened:
        see = Look(opened, tmp_path)
        opened.open("/")
        see.follow("Account")
        see.at("Your account", "overview")
        see.follow("Turn it on")
        see.at("Two-factor sign-in", "two-factor-off")
        see.follow("Turn it on")
        see.at("Turn on two-factor sign-in", "turn-on")
        drawn = see.page.locator(".qr img").bounding_box()
        assert drawn and min(drawn["width"], drawn["height"]) > 150
        app = App(see.page.get_by_label("Key", exact=True).inner_text())
        see.fill("Code", "12")
        see.press("Turn it on")
        see.at("Turn on two-factor sign-in", "turn-on-refused")
        see.fill("Code", app.code())
        see.press("Turn it on")
        see.at("Recovery codes", "recovery-codes")
        codes = see.page.locator(".codes li").all_text_contents()
        assert len(codes) == 10
        see.follow("Done")
        see.at("Two-factor sign-in", "two-factor-on")
        see.follow("Make new ones")
        see.at("Make new recovery codes?", "new-codes")
        see.follow("Cancel")
        opened.open("/accounts/sessions/")
        see.at("Where you are signed in", "sessions")
        see.press("Sign out everywhere else")
        see.at("Where you are signed in", "sessions-alone")
        assert see.page.get_by_text("You are signed in nowhere else.").is_visible()

        opened.open("/accounts/password/change/")
        see.at("Change your password", "change-password")
        see.page.get_by_role("button", name="Sign out", exact=True).click()
        opened.open("/accounts/login/?error=magic_link_invalid")
        see.at("Sign in", "sign-in")
        see.fill("Email address", str(user.email))
        see.fill("Password", GOOD)
        see.press("Sign in")
        see.at("Your code", "code")
        see.fill("Code", codes[0])
        see.press("Sign in")
        see.at("Your organisations", "in-again")
        assert not opened.complaints, opened.complaints


@pytest.mark.parametrize(("size", "scheme"), SIZES)
def test_without_a_password(
    live_db: None, size: tuple[int, int], scheme: str, tmp_path: Path
) -> None:
    user = make_user()
    client = Client()
    sign_in(client, user)
    link = entry.sign_in_link(user, target="/accounts/password/set/")
    box = {"width": size[0], "height": size[1]}
    with served() as address, window(client, address, box, color_scheme=scheme) as opened:
        see = Look(opened, tmp_path)
        stale(opened)
        stale(opened)
        opened.open("/accounts/")
        see.at("Your account", "overview-no-password")
        see.follow("Set a password")
        see.at("Confirm that it is you", "confirm-by-mail")
        see.press("Mail me the link")
        see.at("Look in your mailbox", "confirm-mailed")
        opened.open(link.removeprefix("http://localhost:8000"))
        see.at("Sign in", "link")
        see.press("Sign in")
        see.at("Set a password", "set-password")
        see.fill("New password", GOOD)
        see.fill("New password again", GOOD)
        see.press("Save the password")
        see.at("Your account", "overview-password-set")
        stale(opened)
        opened.open("/accounts/2fa/totp/activate/")
        see.at("Confirm that it is you", "confirm-by-password")
        see.fill("Password", "wrong")
        see.press("Go on")
        see.at("Confirm that it is you", "confirm-refused")
        see.fill("Password", GOOD)
        see.press("Go on")
        see.at("Turn on two-factor sign-in", "turn-on")
        see.page.get_by_role("button", name="Sign out", exact=True).click()
        opened.open("/accounts/login/")
        see.follow("Sign in by mail instead")
        see.at("Sign in by mail", "by-mail")
        see.fill("Email address", str(user.email))
        see.press("Mail me the link")
        see.at("Look in your mailbox", "by-mail-sent")
        assert not opened.complaints, opened.complaints
