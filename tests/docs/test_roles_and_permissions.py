"""Every command of docs/roles-and-permissions.md, against the running product."""

from __future__ import annotations

import os
import sys

from tests import secrets_seen
from tests.docs import console
from tests.factories import add_member, make_token
from tests.product import ROOT, Product


def test_every_command_does_what_the_page_says(product: Product) -> None:
    member = product.signed_up("Documented", enter=True)
    organisation = member.organisation
    add_member(organisation, "viewer")
    token = make_token(organisation, "settings:read")
    secrets_seen.seen(token, "API token")
    browser = member.browser
    browser.expect(200, "GET", "/roles/+new", host=member.host)  # a form: sets the CSRF cookie
    cookies = browser._cookies[member.host]
    console.run(
        ROOT / "docs" / "roles-and-permissions.md",
        cwd=ROOT,
        env={
            **product.environment,
            "PATH": os.environ["PATH"],
            "BASE": f"http://{member.label}.localhost:{product.web[1]}",
            "TOKEN": token,
            "COOKIE": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "CSRF": next(v for name, v in cookies.items() if name.endswith("csrftoken")),
            "LABEL": member.label,
            "MANAGE": f"{sys.executable} manage.py",
        },
    )
