"""A slow provider of one organisation takes neither all threads nor much of anybody's time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from rbac.sso import discovery, views
from rbac.sso.refusals import SsoRefused
from tenants import outbound
from tenants.models import SsoProvider
from tests.accounts.browsing import Visitor
from tests.sso.idp import Answer, Idp, say
from tests.sso.people import code_in
from tests.waiting import until


@pytest.mark.django_db
def test_few_wait_at_a_time(provider: SsoProvider, idp: Idp) -> None:
    """A quarter of eight threads; the next is told at once, and later there is room again."""
    let_go = threading.Event()

    def slow() -> Answer:
        let_go.wait(20)
        return say({})

    idp.answers["/slow"] = slow
    with ThreadPoolExecutor(2) as pool:
        try:
            waiting = [pool.submit(outbound.fetch, "GET", f"{idp.issuer}/slow") for _ in range(2)]
            until(lambda: idp.asked.count("/slow") == 2)
            with pytest.raises(outbound.OutboundRefused, match="Too many"):
                outbound.fetch("GET", f"{idp.issuer}/jwks")
            discovery.forget(provider)
            with pytest.raises(SsoRefused, match="Too many"):
                discovery.of(provider)
        finally:
            let_go.set()
        assert [one.result(20).status_code for one in waiting] == [200, 200]
    assert discovery.of(provider).issuer == idp.issuer  # not held against the provider


@pytest.mark.django_db
def test_one_that_failed_is_not_asked_again_for_a_moment(
    provider: SsoProvider, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/.well-known/openid-configuration"
    discovery.forget(provider)
    idp.answers[path] = lambda: (503, {}, b"")
    idp.asked.clear()
    visitor = Visitor()
    host = provider.organisation.instance_host
    for _ in range(3):
        page = visitor.post("/sso/work/login", host=host)
        assert code_in(page) == "provider_unavailable"
    assert idp.asked.count(path) == 1
    del idp.answers[path]
    monkeypatch.setattr(discovery, "FAILED_KEPT", 0.0)
    assert visitor.post("/sso/work/login", host=host).status_code == 200


@pytest.mark.django_db
def test_one_organisation_starts_only_so_many(
    provider: SsoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From whatever addresses they come."""
    monkeypatch.setattr(views, "PER_MINUTE_TOGETHER", 2)
    host = provider.organisation.instance_host
    answers = [
        Visitor().post("/sso/work/login", host=host, REMOTE_ADDR=f"192.0.2.{n}") for n in range(3)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
