"""The sign-up page: the same as the API, with words for people, and without scripts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from tenants.models import Organisation, Rollout, Stage, State
from tests.factories import make_organisation, owner_of
from tests.signup.asking import HOST, address, counts, invitation, mailbox, mails

pytestmark = pytest.mark.django_db


def submit(client: Client | None = None, **fields: str) -> Any:
    data = {"email": mailbox(), "org_name": "Example Ltd", **fields}
    return (client or Client()).post("/signup", data, REMOTE_ADDR=address(), **HOST)


def test_shows_a_form_that_asks_for_an_invitation_while_it_is_needed() -> None:
    Rollout.objects.update_or_create(pk=1, defaults={"stage": Stage.PRIVATE_BETA})
    text = Client().get("/signup", **HOST).content.decode()
    assert "you need an invitation" in text
    Rollout.objects.update(stage=Stage.GA)
    assert "you need an invitation" not in Client().get("/signup", **HOST).content.decode()


def test_the_link_of_an_invitation_fills_it_in() -> None:
    text = Client().get("/signup?invitation=inv_abc%22%3E", **HOST).content.decode()
    assert 'value="inv_abc&quot;&gt;"' in text


def test_hosted_mode_off_answers_a_plain_404(settings: Any) -> None:
    settings.HOSTED_MODE = False
    for answer in (Client().get("/signup", **HOST), submit()):
        assert answer.status_code == 404
        assert answer.headers["Content-Type"].startswith("text/plain")


def test_head_goes_with_get() -> None:
    assert Client().head("/signup", **HOST).status_code == 200
    assert Client().put("/signup", **HOST).status_code == 405


def test_needs_its_csrf_token() -> None:
    careful = Client(enforce_csrf_checks=True)
    assert submit(careful).status_code == 403
    page = careful.get("/signup", **HOST).content.decode()
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found
    assert submit(careful, csrfmiddlewaretoken=found[1]).status_code == 200


def test_mistakes_are_said_beside_their_field_and_what_was_typed_stays() -> None:
    answer = submit(email="nobody", org_name="a/b", host_label="-", invitation="inv_kept")
    text = answer.content.decode()
    assert answer.status_code == 400
    assert "Give a whole email address" in text
    assert "without slashes" in text
    assert "no hyphen at either end" in text
    assert 'value="inv_kept"' in text
    assert 'value="nobody"' in text


def test_the_answer_is_the_same_with_and_without_an_effect() -> None:
    before = counts()
    email = mailbox()
    without = submit(email=email)
    assert counts() == before
    with_one = submit(email=email, invitation=invitation().token)
    assert Organisation.objects.filter(owner_email=email).count() == 1
    assert (without.status_code, without.content) == (with_one.status_code, with_one.content)
    assert "Look in your mailbox" in without.content.decode()
    owner = owner_of(make_organisation())
    assert owner.email is not None
    known = submit(email=owner.email)
    assert known.content.decode().replace(owner.email, email) == without.content.decode()
    assert len(mails(owner.email)) == 1


def test_no_public_url_is_said_in_words(settings: Any) -> None:
    settings.PUBLIC_URL = ""
    answer = submit(invitation=invitation().token)
    assert answer.status_code == 503
    assert "no public address yet" in answer.content.decode()


@pytest.mark.parametrize("kind", [{"canary": True}, {"send": True}])
def test_a_mailed_invitation_proves_its_mailbox_and_signs_in(kind: dict[str, bool]) -> None:
    email = mailbox()
    browser = Client()
    answer = submit(browser, email=email.upper(), invitation=invitation(email, **kind).token)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/signup/progress")
    organisation = Organisation.objects.get(owner_email__iexact=email)
    assert organisation.state == State.PROVISIONING
    assert organisation.canary is bool(kind.get("canary"))
    assert organisation.label.startswith("canary-") is organisation.canary
    status = browser.get("/signup/status", **HOST).json()
    assert status["organisation"] == str(organisation.pk)
    assert not mails(email)[1:]


def test_a_link_that_was_shown_and_not_mailed_proves_no_mailbox() -> None:
    email = mailbox()
    answer = submit(email=email, invitation=invitation(email).token)
    assert answer.status_code == 200
    assert Organisation.objects.get(owner_email=email).state == State.REQUESTED


def test_progress_and_status_are_for_the_signed_in() -> None:
    assert Client().get("/signup/status", **HOST).status_code == 401
    answer = Client().get("/signup/progress", **HOST)
    assert answer.headers["Location"] == "/accounts/login/?next=/signup/progress"


def test_progress_leads_on_when_it_is_ready() -> None:
    organisation = make_organisation()
    browser = Client()
    browser.force_login(owner_of(organisation))
    session = browser.session
    session["_host"] = "localhost"
    session.save()
    answer = browser.get("/signup/progress", **HOST)
    assert answer.headers["Location"] == f"/o/{organisation.label}/"
    status = browser.get("/signup/status", **HOST).json()
    assert [step["status"] for step in status["steps"]] == ["done"] * 6


def test_an_oversize_form_is_refused() -> None:
    answer = Client().post(
        "/signup", {"email": "x" * (2 * 1024 * 1024)}, REMOTE_ADDR=address(), **HOST
    )
    assert answer.status_code in (400, 413)
