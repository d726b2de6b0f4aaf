"""POST /api/entitlements/refresh, as an external runtime uses it (hosted-contract section 15.3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from billing import refresh
from billing.models import BillingState, Lease, RefreshToken
from tenants.models import Organisation, Runtime, State, SuspendedBy
from tests.billing.rows import external, paying
from tests.factories import put_in_state

pytestmark = pytest.mark.django_db
ACTOR = Actor.system("test")
PATH = "/api/entitlements/refresh"


class Asks:
    """An external runtime that holds `token` for `organisation`."""

    def __init__(self, organisation: Organisation, token: str) -> None:
        self.organisation, self.token = organisation, token
        self.client = Client(headers={"host": "localhost"})

    def __call__(self, body: Any = None, **changes: Any) -> Any:
        if body is None:
            body = {
                "org_id": "default",
                "instance_host": self.organisation.instance_host,
                "entitlement_refresh_token": self.token,
            } | changes
        data = body if isinstance(body, bytes) else json.dumps(body)
        return self.client.post(PATH, data, content_type="application/json")

    def set_state(self, state: str) -> None:
        put_in_state(self.organisation, state)


@pytest.fixture
def ask(settings: Any) -> Asks:
    settings.HOSTED_MODE = True
    organisation = external()
    return Asks(organisation, refresh.issue_refresh_token(organisation, actor=ACTOR))


def is_plain(answer: HttpResponse, status: int) -> bool:
    """An error as the contract has it: plain text, no token in it."""
    assert answer.status_code == status, answer.content
    return answer["Content-Type"].startswith("text/plain") and b"eyJ" not in answer.content


def test_answers_a_lease(ask: Asks) -> None:
    answer = ask()
    assert answer.status_code == 200
    assert set(answer.json()) == {"entitlement_jwt"}
    claims = jwt.decode(answer.json()["entitlement_jwt"], options={"verify_signature": False})
    assert claims["sub"] == str(ask.organisation.pk)
    assert claims["instance_host"] == ask.organisation.instance_host
    assert answer["Cache-Control"] == "no-store"
    assert Lease.objects.get(organisation=ask.organisation).issued_for == "refresh"
    assert RefreshToken.objects.get(organisation=ask.organisation).last_refreshed_at


@pytest.mark.parametrize("org_id", ["", "default"])
def test_org_id_may_be_empty_or_default(ask: Asks, org_id: str) -> None:
    assert ask(org_id=org_id).status_code == 200


def test_org_id_may_be_missing(ask: Asks) -> None:
    body = {"instance_host": ask.organisation.instance_host, "entitlement_refresh_token": ask.token}
    assert ask(body).status_code == 200


def test_host_is_compared_as_it_is_signed(ask: Asks) -> None:
    host = f" HTTPS://{ask.organisation.instance_host.upper()}:443/ "
    assert ask(instance_host=host).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b"[" * 2000,
        {},
        {"instance_host": "x.localhost"},
        {"entitlement_refresh_token": "etr_hosted_x"},
        {"instance_host": "", "entitlement_refresh_token": "etr_hosted_x"},
        {"instance_host": "  ", "entitlement_refresh_token": "etr_hosted_x"},
        {"instance_host": 5, "entitlement_refresh_token": "etr_hosted_x"},
        {"instance_host": "x.localhost", "entitlement_refresh_token": ["etr_hosted_x"]},
    ],
)
def test_bad_body_is_400(ask: Asks, body: Any) -> None:
    assert is_plain(ask(body), 400)


@pytest.mark.parametrize(
    "changes",
    [
        {"entitlement_refresh_token": "etr_hosted_" + "0" * 48},
        {"entitlement_refresh_token": "\ud800"},
        {"instance_host": "other.localhost"},
        {"org_id": "other"},
        {"org_id": 7},
        {"org_id": None},
    ],
)
def test_unknown_is_401(ask: Asks, changes: dict[str, Any]) -> None:
    assert is_plain(ask(**changes), 401)
    assert not Lease.objects.filter(organisation=ask.organisation).exists()


def test_another_organisations_token_is_401(ask: Asks) -> None:
    other = external()
    token = refresh.issue_refresh_token(other, actor=ACTOR)
    assert is_plain(ask(entitlement_refresh_token=token), 401)


def test_revoked_is_410_for_its_holder_only(ask: Asks) -> None:
    refresh.revoke_refresh_tokens(ask.organisation, actor=ACTOR)
    assert is_plain(ask(), 410)
    assert is_plain(ask(instance_host="other.localhost"), 401)


def test_a_new_token_replaces_the_old_one(ask: Asks) -> None:
    token = refresh.issue_refresh_token(ask.organisation, actor=ACTOR)
    assert is_plain(ask(), 410)
    assert ask(entitlement_refresh_token=token).status_code == 200


@pytest.mark.parametrize("state", ["expired", "suspended", "canceled"])
def test_unpaid_is_410(ask: Asks, state: str) -> None:
    BillingState.objects.filter(organisation=ask.organisation).update(subscription_state=state)
    assert is_plain(ask(), 410)


def test_trial_over_is_410(ask: Asks) -> None:
    BillingState.objects.filter(organisation=ask.organisation).update(
        subscription_state="trial", trial_ends_at=timezone.now() - timedelta(seconds=1)
    )
    assert is_plain(ask(), 410)


@pytest.mark.parametrize("state", [State.PURGING, State.DELETED, State.FAILED])
def test_gone_is_410(ask: Asks, state: str) -> None:
    ask.set_state(state)
    assert is_plain(ask(), 410)


def test_back_at_the_built_in_runtime_is_410(ask: Asks) -> None:
    Organisation.objects.filter(pk=ask.organisation.pk).update(runtime=Runtime.BUILTIN)
    assert is_plain(ask(), 410)


@pytest.mark.parametrize("state", [State.SUSPENDED, State.PENDING_DELETION])
def test_what_may_come_back_is_503_with_retry_after(ask: Asks, state: str) -> None:
    ask.set_state(state)
    answer = ask()
    assert is_plain(answer, 503)
    assert int(answer["Retry-After"]) > 0
    ask.set_state(State.ACTIVE)
    assert ask().status_code == 200


def test_suspension_by_the_verb_and_back(ask: Asks) -> None:
    from tenants import lifecycle

    lifecycle.suspend(organisation=ask.organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)
    assert is_plain(ask(), 503)
    lifecycle.unsuspend(organisation=ask.organisation, by=SuspendedBy.PLATFORM, actor=ACTOR)
    assert ask().status_code == 200


def test_hosted_mode_off_is_503_with_retry_after(ask: Asks, settings: Any) -> None:
    settings.HOSTED_MODE = False
    answer = ask()
    assert is_plain(answer, 503)
    assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head"])
def test_other_methods_are_405(ask: Asks, method: str) -> None:
    answer = getattr(ask.client, method)(PATH)
    assert answer.status_code == 405
    assert answer["Allow"] == "POST"


def test_oversize_is_refused_before_it_is_read(ask: Asks) -> None:
    assert is_plain(ask(b'{"instance_host": "' + b"x" * 20_000 + b'"}'), 413)


def test_limit_per_address(ask: Asks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.api.PER_HOUR", 3)
    tokens = [f"etr_hosted_{number:048x}" for number in range(4)]
    statuses = [ask(entitlement_refresh_token=token).status_code for token in tokens]
    assert statuses == [401, 401, 401, 429]
    answer = ask()
    assert is_plain(answer, 429)
    assert int(answer["Retry-After"]) > 0


def test_limit_per_credential_whatever_the_address(
    ask: Asks, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1/32"]
    monkeypatch.setattr("billing.api.PER_HOUR", 3)
    statuses = []
    for number in range(4):
        ask.client = Client(
            headers={"host": "localhost", "x-forwarded-for": f"198.51.100.{number}"}
        )
        statuses.append(ask().status_code)
    assert statuses == [200, 200, 200, 429]


def test_only_the_hash_is_stored(ask: Asks) -> None:
    row = RefreshToken.objects.get(organisation=ask.organisation)
    assert ask.token.startswith("etr_hosted_")
    assert len(ask.token) == len("etr_hosted_") + 48
    assert row.token_hash == hashlib.sha256(ask.token.encode()).hexdigest()
    trail = list(Event.objects.filter(organisation=ask.organisation.pk).values())
    assert [event["action"] for event in trail] == ["refresh_token_issued"]
    assert ask.token not in str(trail)


def test_the_token_is_in_no_log(ask: Asks, capfd: pytest.CaptureFixture[str]) -> None:
    secret = ask().json()["entitlement_jwt"]
    ask(instance_host="other.localhost")
    written = "".join(capfd.readouterr())
    assert ask.token not in written
    assert secret not in written


@pytest.mark.parametrize(
    "make",
    [paying, lambda: external(state=State.SUSPENDED), lambda: external(state=State.PROVISIONING)],
    ids=["built-in runtime", "suspended", "provisioning"],
)
def test_only_active_external_ones_get_a_token(make: Callable[[], Organisation]) -> None:
    with pytest.raises(refresh.NotExternal):
        refresh.issue_refresh_token(make(), actor=ACTOR)
