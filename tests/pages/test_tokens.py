"""A token is made, copied, used, renamed and revoked in a real browser."""

from __future__ import annotations

import httpx
import pytest

from tests import secrets_seen
from tests.pages.chromium import DESKTOP, PHONE, person
from tests.pages.test_journey import invited, signs_up
from tests.product import Product

pytestmark = pytest.mark.chromium


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_a_token_from_making_to_revoking(
    product: Product, size: tuple[int, int], scheme: str
) -> None:
    path, mailbox = invited()
    with person(size=size, scheme=scheme) as ann:
        home = signs_up(ann, product.public_url, path, mailbox, "Acme Networks")
        host = home.split("/")[2]
        ann.follows("API tokens")
        ann.sees("You have no token")
        ann.fits()

        ann.fills("What is it for?", "Nightly report")
        ann.expected_statuses.add(400)
        ann.presses("Make the token")
        ann.sees("Choose at least one.")
        ann.page.get_by_label("Read See the organisation").check()
        ann.presses("Make the token")
        ann.sees("shown this once")
        ann.fits()
        secret = (ann.page.locator("#token").text_content() or "").strip()
        secrets_seen.seen(secret, "API token")

        def ask() -> int:
            headers = {"Host": host, "X-API-Token": secret}
            address = f"http://127.0.0.1:{product.web[1]}/api/organisation"
            return httpx.get(address, headers=headers, timeout=20).status_code

        assert ask() == 200
        ann.follows("Done")
        ann.sees("Nightly report")
        assert secret not in ann.page.content()
        ann.page.get_by_text("Rename").first.click()
        ann.fits()
        ann.page.get_by_label("New name").first.fill("Weekly report")
        ann.page.get_by_role("button", name="Rename").first.click()
        ann.sees("Nightly report is called Weekly report now.")
        ann.page.get_by_text("Revoke", exact=False).first.click()
        ann.presses("Revoke this token")
        ann.sees("Weekly report is removed and shut out.")
        assert ask() == 401
        ann.page.get_by_text("Ended in the last month").click()
        ann.sees("Revoked")
        ann.fits()
        assert not ann.complaints
