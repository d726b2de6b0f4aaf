"""The staff pages as a browser sees them: no script refused, nothing wider than the screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from pulsecloud.staff import organisation_tabs
from tenants.models import Organisation
from tests.admin import staff
from tests.admin.browser import DESKTOP, PHONE, served, window
from tests.admin.staff import HOSTILE, changelist
from tests.admin.test_pages_answer import LISTS, a_row_of_everything

pytestmark = pytest.mark.chromium


@pytest.fixture
def client(live_db: None) -> Client:
    return staff.signed_in(staff.superuser())


@pytest.fixture
def organisation(live_db: None, settings: Any, tmp_path: Any) -> Organisation:
    settings.RELAY_ENTITLEMENT_PUBLIC_KEY_FILE = str(tmp_path / "keys")
    staff.connected(display_name=HOSTILE[:64])
    return a_row_of_everything()


@pytest.fixture
def address() -> Iterator[str]:
    with served() as here:
        yield here


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pages_work_and_fit(
    client: Client, organisation: Organisation, address: str, size: dict[str, int]
) -> None:
    change = reverse("admin:tenants_organisation_change", args=[organisation.pk])
    paths = [
        reverse("admin:index"),
        *map(changelist, LISTS),
        change,
        *(f"{change}?tab={tab}" for tab in organisation_tabs.TABS),
        reverse("admin:index") + "?span=30d",
        reverse("admin:search") + "?s=example",
        change.replace("/change/", "/suspend/"),
        reverse("admin:tenants_invitation_add"),
    ]
    with window(client, address, size) as opened:
        for path in paths:
            opened.open(path)
            assert opened.wider_than_screen() <= 0, path
        assert opened.complaints == []


def test_the_icons_font_is_there(client: Client, organisation: Organisation, address: str) -> None:
    """Without it the menu shows words such as `monitoring` in place of its pictures."""
    with window(client, address, DESKTOP) as opened:
        opened.open(reverse("admin:index"))
        opened.page.evaluate("document.fonts.ready")
        loaded = "[...document.fonts].filter(f => f.status == 'loaded').map(f => f.family).join()"
        assert "Material Symbols" in opened.page.evaluate(loaded)


def test_suspending_from_the_list(client: Client, organisation: Organisation, address: str) -> None:
    with window(client, address, DESKTOP) as opened:
        page = opened.open(changelist("tenants_organisation") + f"?q={organisation.label}")
        page.locator("input.action-select").first.check()
        page.locator("select[name=action]").select_option("suspend_chosen")
        page.get_by_role("button", name="Run").click()
        page.wait_for_selector(f"text=Suspend: {organisation}?")
        page.get_by_label("Reason").fill("unpaid")
        page.get_by_role("button", name="Suspend", exact=True).click()
        page.wait_for_selector("text=Suspended:")
        assert opened.complaints == []
    organisation.refresh_from_db()
    assert organisation.state == "suspended"
    assert organisation.suspend_reason == "unpaid"


def test_filters_open_and_answer(client: Client, organisation: Organisation, address: str) -> None:
    with window(client, address, DESKTOP) as opened:
        page = opened.open(changelist("tenants_organisation"))
        page.locator("a:has-text('Filters')").first.click()
        page.get_by_text("can phones reach it?", exact=False).first.wait_for(state="visible")
        page.get_by_role("link", name="yes, connected").click()
        page.wait_for_url("**reachable=yes**")
        assert page.locator(f"text={organisation.label}").count() >= 1
        assert opened.complaints == []


def test_the_menu_opens_on_a_phone(
    client: Client, organisation: Organisation, address: str
) -> None:
    with window(client, address, PHONE) as opened:
        page = opened.open(reverse("admin:index"))
        entry = page.get_by_role("link", name="Signing keys")
        assert not entry.is_visible()
        page.get_by_text("dock_to_right").last.click()
        entry.click()
        page.wait_for_url("**/signingkey/")
