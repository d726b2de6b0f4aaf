"""The audit trail on the running product: sealed by its worker, read in a person's browser."""

from __future__ import annotations

import csv
import io
import json

import pytest

from audit.actors import Actor
from audit.models import SealedEvent
from tests.audit.asking import write
from tests.pages.chromium import DESKTOP, PHONE, person
from tests.product import Product
from tests.waiting import until


def test_the_worker_seals_within_a_minute(product: Product) -> None:
    event = write(product.signed_up().organisation)
    sealed = SealedEvent.objects.filter(event=event.pk)
    until(sealed.exists, 75, every=0.5, what="the event is sealed")
    assert '"event": "audit trail sealed"' in product.log("worker")
    done = product.manage("audit", "verify", "--json")
    assert json.loads(done.stdout)["intact"] is True
    head = json.loads(product.manage("audit", "head", "--json").stdout)["head"]
    assert head in product.log("worker")  # legible: no filter takes it for a secret
    metrics = product.browser().expect(200, "GET", "/metrics").text
    assert "pulsecloud_audit_unsealed_events" in metrics


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("size", "scheme", "scripts"),
    [(PHONE, "light", True), (DESKTOP, "dark", False)],
    ids=["phone", "desktop-dark-no-scripts"],
)
def test_finding_out_who_did_what(
    product: Product, size: tuple[int, int], scheme: str, scripts: bool
) -> None:
    member = product.signed_up("Example Works", enter=True)
    organisation = member.organisation
    write(
        organisation, "Example Works", action="org_renamed", reason="It was a placeholder.",
        before={"display_name": "Untitled"}, after={"display_name": "Example Works"},
    )  # fmt: skip
    write(
        organisation, "ann@example.test", action="sign_in_failed", success=False,
        address="192.0.2.7", path="/accounts/login/",
    )  # fmt: skip
    write(
        organisation, organisation.label, action="org_suspended", reason="Abuse report 17",
        actor=Actor("staff", "1", "somebody@platform.example"),
        before={"state": "active"}, after={"state": "suspended"},
    )  # fmt: skip
    product.manage("audit", "seal")
    write(
        organisation, "token 5b0f4a52-6f0e-4bbd-9f8a-2f1d5f0b7c11", action="token_issued",
        after={"name": "Ann’s phone", "scopes": ["relay:mobile:access"]},
    )  # fmt: skip
    host = member.host
    cookies = [
        {"name": name, "value": value, "url": f"http://{host}"}
        for name, value in member.browser._cookies[host].items()
    ]
    with person(size=size, scheme=scheme, scripts=scripts) as ann:
        ann.page.context.add_cookies(cookies)  # type: ignore[arg-type]
        ann.page.goto(f"http://{host}/")
        ann.follows("Audit")
        ann.page.get_by_role("link", name="Organisation renamed").wait_for(state="visible")
        ann.sees("Not sealed yet")
        ann.sees_not("somebody@platform.example")
        ann.fits()
        ann.page.get_by_text("What changed").nth(1).click()
        ann.fits()
        ann.page.get_by_label("Outcome").select_option("no")
        ann.presses("Show")
        ann.page.get_by_role("link", name="Sign-in failed").wait_for(state="visible")
        assert not ann.page.get_by_role("link", name="Organisation renamed").count()
        with ann.page.expect_download() as download:
            ann.follows("CSV")
        with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(io.StringIO(file.read(), newline="")))
        assert [row["event"] for row in rows] == ["sign_in_failed"]
        ann.page.get_by_label("Event").select_option(label="Organisation renamed")
        ann.presses("Show")
        ann.sees("No such event")
        ann.fits()
        ann.follows("Show all events")
        ann.follows("Organisation renamed")
        ann.sees("Sealed and as it was recorded")
        ann.sees("It was a placeholder.")
        ann.fits()
