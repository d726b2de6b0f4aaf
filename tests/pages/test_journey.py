"""The whole way as a person goes it, in a real browser against the whole running product."""

from __future__ import annotations

import secrets

import pytest

from audit.actors import Actor
from tenants import invitations
from tests import secrets_seen
from tests.pages.chromium import DESKTOP, PHONE, Person, person
from tests.product import Product

pytestmark = pytest.mark.chromium


def invited() -> tuple[str, str]:
    """(the path of a mailed invitation, the mailbox)."""
    mailbox = f"ann-{secrets.token_hex(4)}@example.test"
    token = invitations.invite(email=mailbox, canary=True, actor=Actor.system("test")).token
    secrets_seen.seen(token, "invitation")
    return f"/signup?invitation={token}", mailbox


def signs_up(ann: Person, base: str, path: str, mailbox: str, name: str) -> str:
    """From the mailed invitation to the organisation's own page; returns its address."""
    ann.page.goto(base + path)
    ann.sees("Your invitation is filled in")
    ann.fits()
    ann.fills("Name of the organisation", name)
    ann.fills("Your email address", mailbox)
    ann.presses("Sign up")
    ann.page.wait_for_url("http://canary-*.localhost:*/", timeout=30_000)
    return ann.page.url


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_from_the_invitation_to_a_removed_phone(
    product: Product,
    size: tuple[int, int],
    scheme: str,
) -> None:
    path, mailbox = invited()
    with person(size=size, scheme=scheme) as ann:
        home = signs_up(ann, product.public_url, path, mailbox, "Acme Networks")
        ann.sees("Phones can reach this organisation")
        ann.sees("No phone is paired yet")
        ann.sees("Push notifications: not offered yet")
        ann.fits()

        ann.fills("Name of the phone", "Ann’s phone")
        ann.presses("Pair a phone")
        ann.sees("Scan this code with it.")
        ann.sees("Waiting for the phone")
        ann.sees("This relay listens on this machine only")
        ann.fits()
        code = ann.page.locator(".qr svg").bounding_box()
        assert code and min(code["width"], code["height"]) > 250
        link = ann.page.locator("#link").text_content() or ""
        secrets_seen.seen(link.partition("auth_token=")[2].partition("&")[0], "phone's token")

        said = product.manage("phone", link.strip()).stdout
        assert "signature verified" in said and "GET /api/organisation  200" in said
        ann.page.get_by_text("Paired", exact=True).wait_for(state="visible")

        ann.follows("Done")
        ann.sees("Ann’s phone")
        ann.sees("Seen just now")
        ann.fits()
        ann.page.get_by_text("Remove", exact=False).first.click()
        ann.presses("Remove this phone")
        ann.sees("Ann’s phone is removed and shut out.")
        ann.sees("No phone is paired")
        assert product.manage("phone", link.strip(), check=False).returncode != 0

        ann.page.goto(home)
        ann.presses("Sign out")
        ann.sees("Sign up with an invitation")
        ann.page.goto(home)
        ann.page.wait_for_url("**/accounts/login/**")


def test_without_scripts(product: Product) -> None:
    """Everything works with forms and reloads; only what updates by itself does not."""
    path, mailbox = invited()
    with person(scripts=False) as ann:
        ann.page.goto(product.public_url + path)
        ann.fills("Name of the organisation", "Plain Works")
        ann.fills("Your email address", mailbox)
        ann.presses("Sign up")
        # The page refreshes itself until the organisation is ready, then offers the way in.
        ann.page.get_by_role("button", name="Open it").click(timeout=30_000)
        ann.presses("Open it")
        ann.page.wait_for_url("http://canary-*.localhost:*/")
        ann.sees("Plain Works")
        ann.presses("Pair a phone")
        ann.sees("Waiting for the phone")
        ann.page.get_by_text("The same as text").click()
        link = ann.page.locator("#link").text_content() or ""
        secrets_seen.seen(link.partition("auth_token=")[2].partition("&")[0], "phone's token")
        assert link.strip().startswith("pulse://connect?auth_token=")
        ann.follows("Done")
        ann.sees("Waiting for the phone")


def test_suspended_and_lifted_by_its_owner(product: Product) -> None:
    path, mailbox = invited()
    with person(size=PHONE) as ann:
        home = signs_up(ann, product.public_url, path, mailbox, "Basement Lab")
        ann.follows("Organisations")
        ann.sees("Your organisations")
        ann.fits()
        ann.page.get_by_text("Suspend", exact=False).first.click()
        ann.presses("Suspend Basement Lab")
        ann.sees("Suspended by its owner")
        ann.expected_statuses.add(403)
        ann.page.goto(home)
        ann.sees("This organisation is suspended")
        ann.follows("Go to your organisations")
        ann.presses("Lift the suspension")
        ann.sees("is active again")
        ann.page.goto(home)
        ann.sees("Phones can reach this organisation")


def test_mistakes_are_answered_where_they_were_made(product: Product) -> None:
    path, mailbox = invited()
    with person(size=PHONE) as ann:
        ann.page.goto(product.public_url)
        ann.sees("reachable from your phone")
        ann.fits()
        ann.page.goto(product.public_url + path)
        ann.fills("Name of the organisation", "a/b")
        ann.fills("Your email address", mailbox)
        ann.expected_statuses |= {400, 404}
        ann.presses("Sign up")
        ann.sees("without slashes")
        assert ann.page.get_by_label("Your email address").input_value() == mailbox
        ann.fits()
        ann.page.goto(product.public_url + "/sign-in/long-gone")
        ann.sees("This link no longer works")
        ann.fits()
        ann.page.goto(product.public_url + "/accounts/login/")
        ann.fills("Email address", mailbox)
        ann.fills("Password", "not the password")
        ann.presses("Sign in")
        ann.sees("not correct")
        ann.page.goto(product.public_url + "/nowhere")
        ann.sees("There is no page here")
