"""Two people and an organisation in real browsers: invited, joined, promoted, made the owner."""

from __future__ import annotations

import re
import secrets

import pytest

from tenants.models import Membership, OutboxMail
from tests import secrets_seen
from tests.pages.chromium import DESKTOP, PHONE, person
from tests.pages.test_journey import invited, signs_up
from tests.product import Product
from tests.waiting import until

pytestmark = pytest.mark.chromium


def mailed_link(mailbox: str) -> str:
    """The newest invitation's path, as the mailbox got it."""
    mail = until(lambda: OutboxMail.objects.filter(recipient=mailbox).order_by("-pk").first())
    found = re.search(r"(/join/(\S+))", mail.body)
    assert found, mail.body
    secrets_seen.seen(found[2], "member invitation")
    return found[1]


def role_of(mailbox: str) -> str:
    return Membership.objects.get(user__email=mailbox).role


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)
def test_invited_joined_promoted_and_made_the_owner(
    product: Product, size: tuple[int, int], scheme: str
) -> None:
    path, mailbox = invited()
    guest = f"bob-{secrets.token_hex(4)}@example.test"
    with person(size=size, scheme=scheme) as ann:
        home = signs_up(ann, product.public_url, path, mailbox, "Acme Networks")
        ann.follows("People")
        ann.sees("1 member")
        ann.sees("Nobody is invited at the moment")
        ann.fits()
        ann.fills("Email address", guest)
        ann.page.get_by_label("Role").select_option("editor")
        ann.presses("Send the invitation")
        ann.sees(f"{guest} is invited as editor.")
        ann.fits()
        ann.presses("Send again")
        ann.sees("less than 5 minutes ago")
    link = mailed_link(guest)
    with person(size=size, scheme=scheme, scripts=False) as bob:
        bob.page.goto(product.public_url + link)
        bob.sees("Join Acme Networks")
        bob.fits()
        bob.page.get_by_role("button", name="Join", exact=True).click()
        bob.sees("You have joined Acme Networks.")
        bob.presses("Open it")  # no scripts: both halves of the way over take a click
        bob.presses("Open it")
        bob.page.wait_for_url(home)
        bob.follows("People")
        bob.sees("2 members")
        bob.sees_not("Invite somebody")
        bob.fits()
        bob.page.goto(product.public_url)
        bob.sees("you are its editor")
        bob.fits()
        bob.expected_statuses.add(404)
        bob.page.goto(product.public_url + link)
        bob.sees("This link no longer works")
    assert role_of(guest) == "editor"


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_owner_hands_over_and_leaves(product: Product, size: tuple[int, int]) -> None:
    path, mailbox = invited()
    guest = f"eve-{secrets.token_hex(4)}@example.test"
    with person(size=size) as ann:
        home = signs_up(ann, product.public_url, path, mailbox, "Basement Lab")
        ann.page.goto(f"{home}people")
        ann.fills("Email address", guest)
        ann.presses("Send the invitation")
        ann.sees("is invited as viewer.")
    link = mailed_link(guest)
    with person(size=size) as eve:
        eve.page.goto(product.public_url + link)
        eve.page.get_by_role("button", name="Join", exact=True).click()
        eve.page.wait_for_url(home)
    enter = product.manage("sign_in_link", mailbox).stdout.split()[-1]
    secrets_seen.seen(enter.rpartition("/")[2], "sign-in link")
    with person(size=size) as ann:
        ann.page.goto(enter)
        ann.presses("Sign in")
        ann.presses("Open")
        ann.page.wait_for_url(home)
        ann.follows("People")
        ann.page.get_by_text("Change", exact=False).first.click()
        ann.page.get_by_label(f"Role of {guest}").select_option("admin")
        ann.fits()
        ann.presses("Give this role")
        ann.sees("is admin now.")
        ann.follows("Transfer ownership")
        ann.fits()
        ann.page.get_by_label("New owner").select_option(index=1)
        ann.presses("Transfer ownership")
        ann.sees(f"{guest} owns Basement Lab now.")
        ann.page.get_by_text("Leave Basement Lab").click()
        ann.fits()
        ann.presses("Leave the organisation")
        ann.page.wait_for_url(f"{product.public_url}/")
        ann.sees("No organisation yet")
    assert role_of(guest) == "owner"
