"""Limits per address and per mailbox: shared by processes, the same answer, canaries exempt."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tenants.models import LimitWindow, Organisation, Rollout, Stage
from tests.product import Product
from tests.signup.asking import HOST, address, ask, counts, invitation, mailbox, mails, wish


@pytest.mark.django_db
def test_the_sixth_of_an_address_is_429_plain_text() -> None:
    where = address()
    for _ in range(5):
        assert ask(wish(), REMOTE_ADDR=where).status_code == 202
    answer = ask(wish(), REMOTE_ADDR=where)
    assert answer.status_code == 429
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert ask(wish(), REMOTE_ADDR=address()).status_code == 202


@pytest.mark.django_db
def test_every_kind_of_request_counts() -> None:
    """The limit stands before method, gate and body."""
    where: dict[str, Any] = {"REMOTE_ADDR": address()}
    client = Client()
    client.get("/api/public/signup", **HOST, **where)
    ask("{", **where)
    ask({"email": "x"}, **where)
    client.post("/signup", {"email": "nonsense"}, **HOST, **where)
    ask(wish(), **where)
    assert ask(wish(), **where).status_code == 429
    assert client.post("/signup", {}, **HOST, **where).status_code == 429
    assert client.get("/signup", **HOST, **where).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("where", ["127.0.0.1", "::1"])
def test_loopback_is_not_exempt(where: str) -> None:
    for _ in range(5):
        ask(wish(), REMOTE_ADDR=where)
    assert ask(wish(), REMOTE_ADDR=where).status_code == 429


@pytest.mark.django_db
def test_a_forwarded_address_counts_only_from_a_trusted_proxy(settings: Any) -> None:
    proxy = address()
    spoofed = [
        ask(wish(), REMOTE_ADDR=proxy, HTTP_X_FORWARDED_FOR=f"192.0.2.{n}").status_code
        for n in range(6)
    ]
    assert spoofed[-1] == 429
    settings.TRUSTED_PROXIES = [f"{proxy}/32"]
    assert ask(wish(), REMOTE_ADDR=proxy, HTTP_X_FORWARDED_FOR="192.0.2.77").status_code == 202


@pytest.mark.django_db
def test_over_the_mailbox_limit_the_answer_is_the_same_and_nothing_happens() -> None:
    Rollout.objects.update_or_create(pk=1, defaults={"stage": Stage.PUBLIC_BETA})
    email = mailbox()
    answers: list[Any] = [ask(wish(email=email)) for _ in range(3)]
    before = counts()
    answers += [ask(wish(email=email)), ask(wish(email=email.upper()))]
    assert counts() == before
    assert len(mails(email)) == 3
    assert {(a.status_code, a.content) for a in answers} == {(202, answers[0].content)}


@pytest.mark.django_db
def test_a_mailbox_over_its_limit_comes_before_the_missing_public_url(settings: Any) -> None:
    settings.PUBLIC_URL = ""
    email = mailbox()
    statuses = [ask(wish(email=email)).status_code for _ in range(4)]
    assert statuses == [503, 503, 503, 202]


@pytest.mark.django_db
def test_canary_invitations_pass_and_are_not_counted() -> None:
    where = address()
    for _ in range(7):
        email = mailbox()
        seat = invitation(email, canary=True)
        assert ask(wish(email=email, invitation=seat.token), REMOTE_ADDR=where).status_code == 202
        assert Organisation.objects.get(owner_email=email).canary
    assert [ask(wish(), REMOTE_ADDR=where).status_code for _ in range(6)] == [202] * 5 + [429]
    # Over the limit, a used or invented one opens nothing, a good one still does.
    assert ask(wish(invitation=seat.token), REMOTE_ADDR=where).status_code == 429
    assert ask(wish(invitation="canary_guess"), REMOTE_ADDR=where).status_code == 429
    assert ask('{"invitation": "canary_', REMOTE_ADDR=where).status_code == 429
    good = invitation(email := mailbox(), canary=True)
    assert ask(wish(email=email, invitation=good.token), REMOTE_ADDR=where).status_code == 202


@pytest.mark.covers("F71")
def test_processes_share_the_limit_and_forwarded_addresses_are_not_believed(
    product: Product,
) -> None:
    """This process counts three, so that `web` has two left, whatever the caller claims."""
    LimitWindow.objects.all().delete()
    client = Client()
    for _ in range(3):
        assert ask("{", client=client, REMOTE_ADDR="127.0.0.1").status_code == 400
    statuses = [
        product.browser()
        .request(
            "POST",
            "/api/public/signup",
            json={"email": mailbox(), "org_name": "Shared Ltd"},
            headers={"X-Forwarded-For": f"192.0.2.{n}"},
        )
        .status_code
        for n in range(4)
    ]
    assert statuses == [202, 202, 429, 429]
    assert ask("{", client=client, REMOTE_ADDR="127.0.0.1").status_code == 429
