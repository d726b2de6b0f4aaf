"""Who asks too often is told so, on every kind of route, and nobody else pays for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing import plans
from billing.models import BillingState
from billing.provisioning import allow_requests
from tenants import budgets, limits, metrics, request_limits
from tenants.models import LimitWindow, Organisation, State
from tests.factories import add_member, make_organisation, make_token, owner_of, sign_in, unique

pytestmark = pytest.mark.django_db
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A window that does not end during a test."""
    assert budgets.WINDOW == 60  # hosted-contract section 8.3
    monkeypatch.setattr(budgets, "WINDOW", 100_000)
    request_limits._refusals.clear()
    budgets.forget_all()
    yield
    budgets.forget_all()


def ask(organisation: Organisation, path: str = "/api/organisation", **headers: Any) -> Any:
    client = headers.pop("client", None) or Client()
    return client.get(path, HTTP_HOST=organisation.instance_host, **headers)


def counted(limit: str) -> float:
    found = metrics.registry.get_sample_value("pulse_hosted_rate_limited_total", {"limit": limit})
    return found or 0.0


def test_an_organisation_over_its_limit_is_refused_as_the_contract_says(settings: Any) -> None:
    settings.REQUESTS_PER_ORGANISATION = 3
    organisation, before = make_organisation(), counted("organisation")
    secret = make_token(organisation)
    answers = [ask(organisation, HTTP_X_API_TOKEN=secret) for _ in range(5)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
    refused = answers[-1]
    assert refused.json()["code"] == "tenant_rate_limit_exceeded"
    assert refused["Retry-After"] == str(budgets.WINDOW)
    assert refused["X-RateLimit-Limit"] == "3"
    assert refused["X-RateLimit-Remaining"] == "0"
    assert RFC3339.fullmatch(refused["X-RateLimit-Reset"])
    assert refused["X-Pulse-Org-ID"] == str(organisation.pk)
    assert "no-store" in refused["Cache-Control"]
    assert counted("organisation") == before + 2


def test_contract_routes_have_the_contract_body(settings: Any) -> None:
    settings.REQUESTS_PER_ORGANISATION = 1
    organisation = make_organisation()
    secret = make_token(organisation)
    for _ in range(2):
        answer = ask(organisation, "/api/settings/relay/status", HTTP_X_API_TOKEN=secret)
    assert (answer.status_code, answer["Content-Type"]) == (429, "application/json")
    assert set(answer.json()) == {"error", "message"}
    assert answer.json()["error"] == "tenant_rate_limit_exceeded"


def test_a_page_says_it_in_words(client: Client, settings: Any) -> None:
    settings.REQUESTS_PER_ORGANISATION = 1
    organisation = make_organisation()
    sign_in(client, owner_of(organisation), organisation)
    ask(organisation, "/", client=client)
    answer = ask(organisation, "/", client=client)
    assert (answer.status_code, answer["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert b"too many requests" in answer.content
    assert answer["Retry-After"] == str(budgets.WINDOW)


def test_answers_tell_what_is_left(client: Client, settings: Any) -> None:
    settings.REQUESTS_PER_ORGANISATION = 300
    organisation = make_organisation()
    sign_in(client, owner_of(organisation), organisation)
    left = [int(ask(organisation, client=client)["X-RateLimit-Remaining"]) for _ in range(12)]
    assert left == list(range(299, 287, -1))
    page = ask(organisation, "/", client=client)
    assert (page["X-RateLimit-Limit"], page["X-RateLimit-Remaining"]) == ("300", "287")
    # Also what is refused behind the limits counts, and says so.
    missing = ask(organisation, "/api/nothing", client=client)
    assert (missing.status_code, missing["X-RateLimit-Remaining"]) == (404, "286")


def test_a_flood_that_is_refused_costs_one_query(settings: Any) -> None:
    """The organisation's row, to know whose host it is; nothing else is looked at."""
    settings.REQUESTS_PER_ORGANISATION = 1
    organisation = make_organisation()
    secret, other = make_token(organisation), make_token(organisation)
    first = [ask(organisation, HTTP_X_API_TOKEN=secret) for _ in range(2)][-1]
    with CaptureQueriesContext(connection) as asked:
        again = ask(organisation, HTTP_X_API_TOKEN=secret)
    assert len(asked.captured_queries) == 1
    assert (again.status_code, again.content) == (first.status_code, first.content) == (429, ANY)
    for name in ("Retry-After", "X-RateLimit-Limit", "X-Pulse-Org-ID"):
        assert again[name] == first[name]
    # Nobody else is taken for them, and no credentials are none to remember.
    assert ask(organisation, HTTP_X_API_TOKEN="ab" * 32).status_code == 401
    assert ask(organisation).status_code == 401
    assert ask(organisation, HTTP_X_API_TOKEN=other).status_code == 429  # the organisation is full
    stranger = make_organisation()
    assert ask(stranger, HTTP_X_API_TOKEN=secret).status_code == 401


def test_one_busy_token_leaves_the_others_alone(settings: Any) -> None:
    settings.REQUESTS_PER_CREDENTIAL = 2
    organisation, before = make_organisation(), counted("credential")
    busy, other = make_token(organisation), make_token(organisation)
    answers = [ask(organisation, HTTP_X_API_TOKEN=busy) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert answers[-1].json()["code"] == "credential_rate_limit_exceeded"
    assert answers[-1]["X-RateLimit-Limit"] == "2"
    assert ask(organisation, HTTP_X_API_TOKEN=other).status_code == 200
    assert counted("credential") == before + 1


def test_one_person_is_counted_apart_in_each_organisation(client: Client, settings: Any) -> None:
    settings.REQUESTS_PER_CREDENTIAL = 1
    mine, other = make_organisation(), make_organisation()
    person = owner_of(mine)
    add_member(other, user=person)
    for organisation in (mine, other):
        token = make_token(organisation, user=person)
        assert ask(organisation, HTTP_X_API_TOKEN=token).status_code == 200
        sign_in(client, person, organisation)
        assert ask(organisation, client=client).status_code == 200
        assert ask(organisation, client=client).status_code == 429


@pytest.mark.covers("C7")
def test_one_organisation_at_its_limit_does_not_touch_another(settings: Any) -> None:
    settings.REQUESTS_PER_ORGANISATION = 1
    noisy, quiet = make_organisation(), make_organisation()
    secret = make_token(noisy)
    assert [ask(noisy, HTTP_X_API_TOKEN=secret).status_code for _ in range(2)] == [200, 429]
    assert ask(quiet, HTTP_X_API_TOKEN=make_token(quiet)).status_code == 200


def test_the_plan_decides(settings: Any) -> None:
    settings.REQUESTS_PER_ORGANISATION = 1
    organisation = make_organisation()
    assert organisation.requests_per_minute is None  # a trial has the server's default
    BillingState.objects.filter(organisation=organisation).update(plan_version="cloud_power")
    allow_requests(organisation)
    answer = ask(organisation, HTTP_X_API_TOKEN=make_token(organisation))
    assert answer["X-RateLimit-Limit"] == str(plans.requests_per_minute("cloud_power")) == "4000"
    BillingState.objects.filter(organisation=organisation).update(plan_version="cloud_starter")
    allow_requests(organisation)
    answer = ask(organisation, HTTP_X_API_TOKEN=make_token(organisation))
    assert answer["X-RateLimit-Limit"] == "1"


def test_outsiders_see_no_organisation_in_the_limits(client: Client, settings: Any) -> None:
    """H22: before membership is known there is no budget of the organisation to look at."""
    settings.REQUESTS_PER_ORGANISATION = 1
    organisation = make_organisation()
    secret = make_token(organisation)
    assert [ask(organisation, HTTP_X_API_TOKEN=secret).status_code for _ in range(2)] == [200, 429]
    for path in ("/api/organisation", "/"):
        anonymous = ask(organisation, path)
        unknown = Client().get(path, HTTP_HOST=f"{unique('unknown')}.localhost")
        assert anonymous.status_code == unknown.status_code
        for name in ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-Pulse-Org-ID", "Retry-After"):
            assert name not in anonymous.headers and name not in unknown.headers
    outsider = owner_of(make_organisation())
    sign_in(client, outsider, organisation)
    answer = ask(organisation, client=client)
    assert (answer.status_code, "X-RateLimit-Limit" in answer.headers) == (403, False)


def test_the_limit_comes_before_the_state(settings: Any) -> None:
    settings.REQUESTS_PER_ORGANISATION = 1
    organisation = make_organisation(State.SUSPENDED)
    secret = make_token(organisation)
    assert [ask(organisation, HTTP_X_API_TOKEN=secret).status_code for _ in range(2)] == [403, 429]


@pytest.mark.covers("H9")
def test_a_store_that_cannot_be_read_admits_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = make_organisation()
    secret = make_token(organisation)

    def away(*_: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(budgets, "_take", away)
    answer = ask(organisation, HTTP_X_API_TOKEN=secret)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    answer = Client().get("/", HTTP_HOST="localhost", REMOTE_ADDR="192.0.2.1")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_a_removed_organisation_leaves_no_counter() -> None:
    organisation = make_organisation()
    ask(organisation, HTTP_X_API_TOKEN=make_token(organisation))
    rows = LimitWindow.objects.filter(key=limits.key_of(budgets.ORGANISATION, str(organisation.pk)))
    assert rows.exists()
    budgets.forget_organisation(organisation.pk)
    assert not rows.exists()


class TestAddresses:
    """The middleware: everything from one address, known or not."""

    def test_works(self, settings: Any) -> None:
        settings.REQUESTS_PER_ADDRESS = 2
        before = counted("address")
        paths = ("/", "/api/anything", "/accounts/login/")
        answers = [self.get(path) for path in paths]
        assert [a.status_code for a in answers] == [200, 404, 429]
        refused = answers[-1]
        assert refused.content == b"Too many requests\n"
        assert refused["Content-Type"] == "text/plain"
        assert 1 <= int(refused["Retry-After"]) <= budgets.WINDOW
        assert (refused["X-RateLimit-Limit"], refused["X-RateLimit-Remaining"]) == ("2", "0")
        assert RFC3339.fullmatch(refused["X-RateLimit-Reset"])
        assert counted("address") == before + 1
        assert self.get("/", REMOTE_ADDR="192.0.2.8").status_code == 200

    def test_known_and_unknown_organisations_share_one_count(self, settings: Any) -> None:
        settings.REQUESTS_PER_ADDRESS = 2
        known = self.get("/api/organisation", HTTP_HOST=make_organisation().instance_host)
        unknown = self.get("/api/organisation", HTTP_HOST=f"{unique('unknown')}.localhost")
        assert (known.status_code, unknown.status_code) == (401, 401)
        assert self.get("/api/organisation").status_code == 429

    def test_changes_by_api_are_fewer(self, settings: Any) -> None:
        settings.WRITES_PER_ADDRESS = 1
        answers = [self.post("/api/security/tokens/relay-mobile") for _ in range(2)]
        assert [a.status_code for a in answers] == [401, 429]
        assert answers[-1]["X-RateLimit-Limit"] == "1"
        assert self.get("/api/organisation").status_code == 404
        assert self.post("/signup").status_code != 429

    def test_one_network_of_ipv6_is_one_address(self, settings: Any) -> None:
        settings.REQUESTS_PER_ADDRESS = 1
        assert self.get("/", REMOTE_ADDR="2001:db8:7:7::1").status_code == 200
        assert self.get("/", REMOTE_ADDR="2001:db8:7:7::2").status_code == 429

    @pytest.mark.parametrize("peer", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"])
    def test_direct_loopback_is_left_out(self, settings: Any, peer: str) -> None:
        settings.REQUESTS_PER_ADDRESS = 1
        assert {self.get("/", REMOTE_ADDR=peer).status_code for _ in range(3)} == {200}

    @pytest.mark.covers("F71")
    def test_what_a_proxy_on_loopback_forwards_is_not(self, settings: Any) -> None:
        settings.REQUESTS_PER_ADDRESS = 1
        forged = ({"HTTP_X_FORWARDED_FOR": f"198.51.100.{n}"} for n in range(3))
        answers = [self.get("/", REMOTE_ADDR="127.0.0.1", **each) for each in forged]
        assert [a.status_code for a in answers] == [200, 429, 429]
        settings.TRUSTED_PROXIES = ["127.0.0.1"]
        budgets.forget_all()
        answers = [
            self.get("/", REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR=f"{n}, 203.0.113.{n}")
            for n in (1, 2, 2)
        ]
        assert [a.status_code for a in answers] == [200, 200, 429]

    def test_static_files_and_health_are_free(self, settings: Any) -> None:
        settings.REQUESTS_PER_ADDRESS = 1
        for path in ("/livez", "/livez", "/livez"):
            assert self.get(path).status_code == 200

    @staticmethod
    def get(path: str, **headers: Any) -> Any:
        return Client().get(
            path, **{"HTTP_HOST": "localhost", "REMOTE_ADDR": "192.0.2.7", **headers}
        )

    @staticmethod
    def post(path: str) -> Any:
        host = "localhost" if path == "/signup" else f"{unique('unknown')}.localhost"
        return Client().post(path, HTTP_HOST=host, REMOTE_ADDR="192.0.2.7")
