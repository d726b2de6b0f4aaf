"""POST /api/public/signup: every row of the decision table (hosted-contract section 3.1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tenants.models import Invitation, Organisation, Rollout, Stage, State
from tests.signup.asking import (
    HOST,
    address,
    ask,
    counts,
    invitation,
    link_in,
    mailbox,
    mails,
    wish,
)

pytestmark = pytest.mark.django_db


def error(answer: Any) -> tuple[int, str]:
    body = answer.json()
    assert set(body) >= {"error", "code", "status_code", "timestamp"}
    assert body["status_code"] == answer.status_code
    assert isinstance(body["timestamp"], int)
    return answer.status_code, body["code"]


def test_works() -> None:
    email = mailbox()
    answer = ask(wish(email=email, invitation=invitation(email).token))
    assert answer.status_code == 202
    assert list(answer.json()) == ["message"]
    organisation = Organisation.objects.get(owner_email=email)
    assert organisation.state == State.REQUESTED
    assert organisation.label.startswith("example-ltd")
    assert organisation.instance_host == f"{organisation.label}.localhost"
    assert not organisation.memberships.exists()
    assert link_in(mails(email)[0]).startswith("/signup/verify/")


@pytest.mark.covers("F76")
@pytest.mark.parametrize("setting", [False])
def test_hosted_mode_off_answers_a_plain_404(settings: Any, setting: bool) -> None:
    settings.HOSTED_MODE = setting
    answer = ask(wish())
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert Client().get("/api/public/signup", HTTP_HOST="localhost").status_code == 405


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "head"])
def test_other_methods_are_405(method: str) -> None:
    answer = getattr(Client(), method)(
        "/api/public/signup", HTTP_HOST="localhost", REMOTE_ADDR=address()
    )
    assert answer.status_code == 405
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b'{"email": NaN}',
        b"[" * 50_000,
        b'{"email": "a@b.example", "org_name": "x\\u0000yz"}',
        b'{"email": "a@b.example", "org_name": "abc\\ud800"}',
    ],
)
def test_bodies_that_are_no_request(body: bytes) -> None:
    before = counts()
    status, code = error(ask(body))
    assert status == 400
    assert code in ("invalid_request", "invalid_email")
    assert counts() == before


def test_an_oversize_body_is_refused_before_it_is_read() -> None:
    class Unread:
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body was read")

        readline = read

    environ: dict[str, Any] = {
        "CONTENT_LENGTH": str(64 * 1024 + 1),
        "wsgi.input": Unread(),
        "REMOTE_ADDR": address(),
        **HOST,
    }
    answer = Client().post("/api/public/signup", b"", "application/json", **environ)
    assert error(answer) == (400, "invalid_request")


def test_64_kib_are_read() -> None:
    body = json.dumps(wish()).encode()
    assert ask(body + b" " * (64 * 1024 - len(body))).status_code == 202


@pytest.mark.parametrize(
    "email",
    [
        "",
        "   ",
        None,
        7,
        ["a@b.example"],
        "plain",
        "@b.example",
        "a@",
        "a@b",
        "a@.example",
        "a@b.example.",
        "a@b@c.example",
        "a b@c.example",
        "a@b .example",
        "a\u0007@b.example",
        "a@b.example\nBcc: x@y.example",
        f"{'a' * 250}@b.example",
        "a,c@b.example",
        "<a@b.example>",
    ],
)
def test_addresses_that_are_refused(email: Any) -> None:
    before = counts()
    assert error(ask(wish(email=email))) == (400, "invalid_email")
    assert counts() == before


@pytest.mark.parametrize(
    "name",
    [
        "",
        None,
        5,
        "ab",
        " ab ",
        "a" * 65,
        "é" * 33,
        "a/b",
        "a\\b",
        "a\tb",
        "a\u0085bc",
        "a\u2028bc",
    ],
)
def test_names_that_are_refused(name: Any) -> None:
    before = counts()
    assert error(ask(wish(org_name=name))) == (400, "invalid_org_name")
    assert counts() == before


@pytest.mark.parametrize(
    "name", ["abc", "a" * 64, "é" * 32, "Müller & Söhne, Inc.", "...", "日本語"]
)
def test_names_that_are_fine(name: str) -> None:
    email = mailbox()
    answer = ask(wish(email=email, org_name=f"  {name} ", invitation=invitation().token))
    assert answer.status_code == 202
    organisation = Organisation.objects.get(owner_email=email)
    assert organisation.display_name == name


@pytest.mark.parametrize(
    "label", ["a", "ab", "-abc", "abc-", "a.b", "ab_c", "x" * 41, "xn--caf-dma", 5, "é23"]
)
def test_labels_that_are_refused(label: Any) -> None:
    assert error(ask(wish(host_label=label))) == (400, "invalid_host_label")


def test_unknown_fields_are_ignored() -> None:
    assert ask(wish(tier="power", password="x")).status_code == 202


@pytest.mark.parametrize("label", ["admin", "www", "canary-mine"])
def test_a_reserved_label_gets_another_form_and_the_answer_does_not_tell(label: str) -> None:
    email = mailbox()
    answer = ask(wish(email=email, host_label=label, invitation=invitation().token))
    assert answer.status_code == 202
    given = Organisation.objects.get(owner_email=email).label
    assert given != label
    assert not given.startswith("canary-")


def test_a_taken_label_gets_a_suffix() -> None:
    seats = invitation(seats=3)
    emails = [mailbox() for _ in range(3)]
    for email in emails:
        ask(wish(email=email, host_label="sixpence", invitation=seats.token))
    labels = [Organisation.objects.get(owner_email=email).label for email in emails]
    assert labels[0] == "sixpence"
    assert all(label.startswith("sixpence-") for label in labels[1:])
    assert len(set(labels)) == 3


def test_public_url_missing_is_503_and_does_nothing(settings: Any) -> None:
    settings.PUBLIC_URL = ""
    seat = invitation()
    before = counts()
    assert error(ask(wish(invitation=seat.token))) == (503, "public_url_missing")
    assert counts() == before
    assert Invitation.objects.get(pk=seat.invitation.pk).used == 0


def test_an_unexpected_failure_is_create_failed_and_leaves_nothing(monkeypatch: Any) -> None:
    seat = invitation()
    before = counts()

    def fail(**_: Any) -> None:
        raise RuntimeError("no mail today")

    monkeypatch.setattr("tenants.mail.send_later", fail)
    assert error(ask(wish(invitation=seat.token))) == (500, "create_failed")
    assert counts() == before
    assert Invitation.objects.get(pk=seat.invitation.pk).used == 0


@pytest.mark.parametrize("stage", [Stage.DEV, Stage.PRIVATE_BETA, None])
def test_without_an_invitation_nothing_happens_while_the_stage_is_invite_only(
    stage: str | None,
) -> None:
    Rollout.objects.all().delete()
    if stage:
        Rollout.objects.create(pk=1, stage=stage)
    before = counts()
    assert ask(wish()).status_code == 202
    assert ask(wish(invitation="inv_guess")).status_code == 202
    assert ask(wish(invitation=17)).status_code == 202
    assert counts() == before


def test_an_open_stage_needs_no_invitation() -> None:
    Rollout.objects.update_or_create(pk=1, defaults={"stage": Stage.PUBLIC_BETA})
    email = mailbox()
    assert ask(wish(email=email)).status_code == 202
    assert Organisation.objects.get(owner_email=email).state == State.REQUESTED


def test_answers_are_the_same_whatever_happened() -> None:
    """Body and headers: fresh, repeated, uninvited, limited."""
    email = mailbox()
    seats = invitation(seats=9)
    answers: list[Any] = [
        ask(wish(email=email, invitation=seats.token)),
        ask(wish(email=email, invitation=seats.token)),
        ask(wish()),
        *(ask(wish(email=email)) for _ in range(3)),
    ]
    shown = {
        (
            a.status_code,
            a.content,
            tuple(sorted((k, v) for k, v in a.headers.items() if k != "X-Request-Id")),
        )
        for a in answers
    }
    assert len(shown) == 1
