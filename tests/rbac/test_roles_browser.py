"""Roles in a real browser: the editor without scripts on a phone, everything fits."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tenants.accounts import entry
from tenants.models import User
from tests import secrets_seen
from tests.factories import add_member, make_user
from tests.pages.chromium import DESKTOP, PHONE, Person, person
from tests.product import Product

pytestmark = pytest.mark.chromium
SHOTS = os.environ.get("SHOTS_TO")


def look(somebody: Person, name: str) -> None:
    somebody.fits()
    if SHOTS:
        somebody.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("size", "scheme", "scripts"),
    [(PHONE, "light", False), (DESKTOP, "dark", True)],
    ids=["phone", "desktop"],
)
def test_making_and_giving_a_role(
    product: Product, size: tuple[int, int], scheme: str, scripts: bool
) -> None:
    member = product.signed_up("Roles and rights")
    colleague = add_member(member.organisation, "viewer", make_user(name="Robin Colleague"))
    path = urlsplit(entry.sign_in_link(User.objects.get(email=member.email), minutes=5)).path
    secrets_seen.seen(path.rpartition("/")[2], "sign-in link")
    name = f"{size[0]}-{scheme}"
    with person(size=size, scheme=scheme, scripts=scripts) as somebody:
        page = somebody.page
        page.goto(product.public_url + path)
        base = f"http://{member.label}.localhost:{product.web[1]}"
        _enter(somebody, f"{product.public_url}/o/{member.label}/")
        page.goto(f"{base}/roles")
        somebody.sees("No roles of your own yet")
        look(somebody, f"roles-{name}")
        somebody.follows("Make a role")
        somebody.fills("Id", "night-shift")
        page.get_by_label("Name", exact=True).fill("Night shift")
        page.get_by_label("Inherits from").select_option("viewer")
        page.get_by_label("Action 1").select_option("write")
        page.get_by_label("Resource 1").fill("nodes:*")
        page.get_by_label("Effect 2").select_option("deny")
        page.get_by_label("Resource 2").fill("audit_logs")
        somebody.presses("More rows")
        assert page.get_by_label("Resource 1").input_value() == "nodes:*"
        look(somebody, f"editor-{name}")
        somebody.presses("Make the role")
        somebody.sees("The role Night shift is made")
        somebody.sees("May change nodes and all below")
        look(somebody, f"role-{name}")
        page.goto(f"{base}/people")
        somebody.follows(f"Roles of {colleague.email}")
        page.get_by_label("Night shift").check()
        somebody.presses("Save the roles")
        somebody.sees("The roles are changed")
        somebody.sees("Must not read audit_logs")
        look(somebody, f"person-{name}")
        page.goto(f"{base}/roles")
        look(somebody, f"roles-custom-{name}")


def _enter(somebody: Person, hand_off: str) -> None:
    """Through the single-use link and the hand-off, pressing what a page without scripts asks for."""
    page = somebody.page
    if page.locator("main form button[type=submit]").count():
        page.locator("main form button[type=submit]").first.click()
    page.goto(hand_off)
    for _ in range(3):
        page.wait_for_load_state("networkidle")
        if page.locator("nav.sections").count():
            return
        page.locator("main form button[type=submit]").first.click()
    page.locator("nav.sections").wait_for()
