"""The whole way with a real identity provider in a process of its own (canaille): discovery, PKCE,
nonce, signatures and groups as it makes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from audit.actors import Actor
from rbac.sso import providers, values
from tenants.models import Organisation, SsoIdentity, SsoProvider
from tests.accounts.browsing import Visitor
from tests.admin.browser import served
from tests.factories import make_organisation, owner_of, sign_in, unique
from tests.pages.chromium import DESKTOP, PHONE, person
from tests.sso import real
from tests.sso.people import begin, code_in, roles_of
from tests.sso.real import PASSWORD, Canaille

GROUPS = {"Operations": ["ann"], "Everybody": ["ann", "bob"]}


@pytest.fixture
def address(live_db: None, settings: Any) -> Iterator[str]:
    """Where our own pages are served for browsers."""
    with served() as here:
        settings.PUBLIC_URL = here
        yield here


@pytest.fixture
def organisation(live_db: None) -> Organisation:
    return make_organisation(display_name="Acme Ltd", label=unique("sso"))


@pytest.fixture
def canaille(organisation: Organisation, address: str) -> Iterator[Canaille]:
    port = address.rpartition(":")[2]
    callback = f"http://{organisation.instance_host}:{port}/sso/canaille/callback"
    with real.running([callback], GROUPS) as canaille:
        yield canaille


@pytest.fixture
def provider(organisation: Organisation, canaille: Canaille) -> SsoProvider:
    actor = Actor.person(owner_of(organisation))
    given = {
        "name": "Canaille",
        "issuer": canaille.issuer,
        "client_id": real.CLIENT[0],
        "secret": real.CLIENT[1],
        "scopes": "openid profile email groups",
    }
    provider = providers.create(
        organisation=organisation, slug="canaille", values=values.parse(given), actor=actor
    )
    return providers.enable(provider=provider, actor=actor)


@pytest.mark.covers("C8", "F74")
def test_groups_come_and_go(
    provider: SsoProvider, organisation: Organisation, canaille: Canaille
) -> None:
    providers.set_mapping(
        provider=provider,
        wanted=values.mapping({"operations": "operator"}),
        actor=Actor.person(owner_of(organisation)),
    )

    def comes(name: str) -> Any:
        visitor = Visitor()
        path = canaille.signs_in(begin(visitor, provider), name)
        return visitor.get(path, host=organisation.instance_host)

    first = comes("ann")
    assert first.status_code == 303, code_in(first)
    identity = SsoIdentity.objects.get(organisation=organisation)
    assert (identity.name, identity.email) == ("Ann Other", "ann@example.test")
    assert sorted(identity.groups) == ["Everybody", "Operations"]
    assert roles_of(organisation, identity.subject) == ["operator"]
    canaille.put_groups({"Everybody": ["ann", "bob"]})
    assert comes("ann").status_code == 303
    assert roles_of(organisation, identity.subject) == []
    SsoProvider.objects.filter(pk=provider.pk).update(allowed_domains=["example.test"])
    assert code_in(comes("bob")) == "domain_restricted"
    # Of no group at all this provider says nothing: nobody can know, so nobody comes in by it.
    canaille.put_groups({"Everybody": ["bob"]})
    assert code_in(comes("ann")) == "group_restricted"


@pytest.mark.chromium
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_set_up_test_and_sign_in(
    organisation: Organisation, canaille: Canaille, address: str, size: tuple[int, int]
) -> None:
    """The owner sets it up and tests it, then a person signs in, in Chromium."""
    port = address.rpartition(":")[2]
    here = f"http://{organisation.instance_host}:{port}"
    owner = Client()
    sign_in(owner, owner_of(organisation), organisation)
    name = django_settings.SESSION_COOKIE_NAME
    with person(size=size) as somebody:
        page, shoot = somebody.page, camera(somebody, size)
        page.context.add_cookies([{"name": name, "value": owner.cookies[name].value, "url": here}])
        page.goto(f"{here}/sso/settings")
        somebody.sees("No identity provider yet")
        shoot("empty")
        somebody.follows("Add a provider")
        page.locator("#id_slug").fill("canaille")
        page.locator("#id_name").fill("Canaille")
        page.locator("#id_issuer").fill(canaille.issuer)
        page.locator("#id_client_id").fill(real.CLIENT[0])
        page.locator("#id_secret").fill(real.CLIENT[1])
        page.locator("#id_scopes").fill("openid profile email groups")
        shoot("new")
        somebody.presses("Save")
        somebody.sees(f"{here}/sso/canaille/callback")
        page.locator("#group-1").fill("Operations")
        page.locator("#role-1").select_option("operator")
        somebody.presses("Save groups")
        somebody.sees("Saved. It counts")
        shoot("provider")
        somebody.presses("Switch it on")
        somebody.sees("On: people can sign in")
        somebody.follows("Test the mapping")
        page.locator("#names").fill("operations\nunknown")
        somebody.presses("Show the roles")
        somebody.sees("not mapped")
        shoot("dry")
        somebody.presses("Sign in at Canaille")
        ours = list(somebody.complaints)
        at_canaille(page, "ann")
        page.wait_for_url(f"{here}/**")
        somebody.complaints[:] = ours  # what the browser says of canaille's own pages
        somebody.sees("This person would be let in")
        somebody.sees("Operator")
        shoot("result")
        page.goto(f"{here}/sso/settings")
        shoot("settings")
        page.context.clear_cookies(domain=organisation.instance_host)
        page.goto(f"{here}/sso/")
        shoot("start")
        somebody.presses("Continue with Canaille")
        page.wait_for_url(f"{here}/")  # the provider knows her since the test
        somebody.sees("Acme Ltd")
        somebody.sees_not("Account")
        shoot("inside")
        somebody.presses("Sign out")
        page.wait_for_url(f"{here}/sso/")
        somebody.expected_statuses.add(400)
        page.goto(f"{here}/sso/canaille/callback?state=old&code=old")
        somebody.sees("This sign-in is over")
        shoot("failed")
    identity = SsoIdentity.objects.get(organisation=organisation)
    assert identity.name == "Ann Other"


def at_canaille(page: Any, name: str) -> None:
    page.locator("input[name=login]").fill(name)
    page.locator("button[name=answer]").first.click()
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("button[type=submit]").first.click()


def camera(somebody: Any, size: tuple[int, int]) -> Any:
    """Looks at each page: nothing sticks out. Pictures only where SCREENSHOTS names a folder."""
    folder = os.environ.get("SCREENSHOTS")

    def shoot(name: str) -> None:
        somebody.fits()
        if folder:
            somebody.page.screenshot(
                path=str(Path(folder, f"{name}-{size[0]}.png")), full_page=True
            )

    return shoot
