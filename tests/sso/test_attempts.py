"""One sign-in on its way: one use, one browser, one provider, ten minutes (hosted-contract 11.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from rbac.sso import attempts
from rbac.sso.refusals import SsoRefused
from tenants.models import SsoAttempt, SsoProvider
from tests.accounts.browsing import Visitor
from tests.factories import make_organisation
from tests.sso.idp import Idp
from tests.sso.people import begin, code_in, comes, make_provider

pytestmark = pytest.mark.django_db


def host(provider: SsoProvider) -> str:
    return provider.organisation.instance_host


@pytest.mark.covers("F74")
def test_a_state_is_good_once(provider: SsoProvider, idp: Idp) -> None:
    visitor = Visitor()
    path = idp.callback(begin(visitor, provider))
    assert visitor.get(path, host=host(provider)).status_code == 303
    replay = Visitor()
    replay.clients = visitor.clients
    again = replay.get(path, host=host(provider))
    assert (again.status_code, code_in(again)) == (400, "invalid_state")


def test_another_browser_cannot_finish_it(provider: SsoProvider, idp: Idp) -> None:
    """Login CSRF: a victim's browser is sent to the attacker's callback."""
    attacker, victim = Visitor(), Visitor()
    path = idp.callback(begin(attacker, provider))
    page = victim.get(path, host=host(provider))
    assert code_in(page) == "invalid_state"
    begin(victim, provider)  # with a cookie of its own
    assert code_in(victim.get(path, host=host(provider))) == "invalid_state"
    assert not victim.is_signed_in(host(provider))
    assert attacker.get(path, host=host(provider)).status_code == 303


def test_two_tabs_of_one_browser_both_work(provider: SsoProvider, idp: Idp) -> None:
    visitor = Visitor()
    one, other = (idp.callback(begin(visitor, provider)) for _ in range(2))
    assert visitor.get(other, host=host(provider)).status_code == 303
    assert visitor.get(one, host=host(provider)).status_code == 303


def test_it_expires(provider: SsoProvider, idp: Idp) -> None:
    visitor = Visitor()
    path = idp.callback(begin(visitor, provider))
    SsoAttempt.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert code_in(visitor.get(path, host=host(provider))) == "invalid_state"


def test_it_belongs_to_its_provider_and_organisation(provider: SsoProvider, idp: Idp) -> None:
    make_provider(provider.organisation, idp, "other")
    elsewhere = make_provider(make_organisation(), idp)
    visitor = Visitor()
    path = idp.callback(begin(visitor, provider))
    swapped = path.replace("/sso/work/", "/sso/other/")
    assert code_in(visitor.get(swapped, host=host(provider))) == "provider_mismatch"
    path = idp.callback(begin(visitor, provider))
    visitor.at(host(elsewhere)).cookies = visitor.at(host(provider)).cookies
    assert code_in(visitor.get(path, host=host(elsewhere))) == "invalid_state"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "missing_state"),
        ("?state=", "missing_state"),
        ("?state=unknown&code=x", "invalid_state"),
        ("?state=" + "x" * 5000 + "&code=x", "invalid_state"),
    ],
    ids=["nothing", "empty", "unknown", "huge"],
)
def test_what_never_started_here(provider: SsoProvider, query: str, code: str) -> None:
    page = Visitor().get(f"/sso/work/callback{query}", host=host(provider))
    assert (page.status_code, code_in(page)) == (400, code)


@pytest.mark.parametrize("error", ["access_denied", "<script>alert(1)</script>", ""])
def test_a_person_who_is_sent_back_without_a_code(
    provider: SsoProvider, idp: Idp, error: str
) -> None:
    visitor = Visitor()
    state = idp.signs_in(begin(visitor, provider))["state"]
    page = visitor.get(
        "/sso/work/callback", host=host(provider), data={"state": state, "error": error}
    )
    assert code_in(page) == "missing_code"
    assert "<script>alert" not in page.content.decode()


def test_the_answer_names_its_issuer(provider: SsoProvider, idp: Idp) -> None:
    """RFC 9207: mixed-up providers."""
    visitor = Visitor()
    path = idp.callback(begin(visitor, provider))
    mixed = visitor.get(path + "&iss=https://evil.example", host=host(provider))
    assert code_in(mixed) == "issuer_mismatch"
    path = idp.callback(begin(visitor, provider))
    assert visitor.get(f"{path}&iss={idp.issuer}", host=host(provider)).status_code == 303


def test_at_most_1024_are_under_way(provider: SsoProvider, monkeypatch: Any) -> None:
    """One more, and the oldest is given up; another organisation's do not count."""
    monkeypatch.setattr(attempts, "OUTSTANDING", 3)
    opened = [attempts.open_for(provider, browser="b") for _ in range(4)]
    assert SsoAttempt.objects.filter(provider=provider).count() == 3
    organisation = provider.organisation_id
    assert attempts.take(opened[3].state, browser="b", organisation=organisation)
    with pytest.raises(SsoRefused):
        attempts.take(opened[0].state, browser="b", organisation=organisation)


def test_neither_state_nor_verifier_stands_in_the_database(provider: SsoProvider) -> None:
    opened = attempts.open_for(provider, browser="the browser")
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenants_ssoattempt::text FROM tenants_ssoattempt")
        stored = str(cursor.fetchall())
    for secret in (opened.state, opened.nonce, opened.verifier, "the browser"):
        assert secret not in stored
        assert secret.encode().hex() not in stored


def test_the_cookie_is_closed_to_scripts_and_other_sites(provider: SsoProvider) -> None:
    answer = Visitor().post("/sso/work/login", host=host(provider))
    cookie = answer.cookies["pulsecloud_sso"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_pressing_too_often_is_refused_and_not_noted(
    provider: SsoProvider, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audit.models import Event
    from rbac.sso import views

    monkeypatch.setattr(views, "PER_MINUTE", 2)
    address = "203.0.113.77"
    for _ in range(2):
        Visitor().post("/sso/work/login", host=host(provider), REMOTE_ADDR=address)
    before = Event.objects.count()
    page = Visitor().post("/sso/work/login", host=host(provider), REMOTE_ADDR=address)
    assert (page.status_code, code_in(page)) == (429, "too_many_requests")
    assert page.headers["Retry-After"] == "60"
    assert Event.objects.count() == before
    assert comes(Visitor(), provider, idp).status_code == 303
