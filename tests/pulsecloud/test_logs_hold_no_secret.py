"""A whole run of the product, from invitation to purge, leaves no secret in any log."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from audit.actors import Actor
from billing import leases
from pulsecloud.proof.journey import Journey, link_part
from relay.models import Registration
from tenants import invitations, sealing
from tenants.models import Organisation, OutboxMail, Session
from tests import databases, secrets_seen
from tests.databases import looking_into
from tests.product import Product, running_product
from tests.waiting import until


def take_notes(journey: Journey, product: Product) -> None:
    """Registers every secret that this run has minted so far and that still can be known."""
    for cookies in journey.browser._cookies.values():
        for name, value in cookies.items():
            secrets_seen.seen(value, f"cookie {name}")
    for session in Session.objects.all():
        secrets_seen.seen(session.session_key, "session key")
    if journey.link:
        secrets_seen.seen(journey.link, "pairing link")
        secrets_seen.seen(link_part(journey.link, "auth_token"), "phone's token")
    for mail in OutboxMail.objects.all():
        for word in mail.body.split():
            if "/signup/verify/" in word or "/sign-in/" in word:
                secrets_seen.seen(word.rstrip("/").rpartition("/")[2], "link in a mail")
    if journey.organisation is not None:
        organisation = Organisation.objects.get(pk=journey.organisation)
        found = Registration.objects.filter(organisation=organisation).first()
        if found is not None:
            key = sealing.open_sealed(found.sealed_identity_key, context=str(organisation.pk))
            secrets_seen.seen(key, "identity key")
    secrets_seen.seen(settings.SECRET_KEY, "SECRET_KEY")
    secrets_seen.seen(settings.ENCRYPTION_KEY, "encryption key")


def prove_a_mailbox(product: Product) -> None:
    """Signs somebody up whose mailbox is proved by the link in a mail."""
    invited = invitations.invite(actor=Actor.system("test"), reason="a seat for anybody")
    secrets_seen.seen(invited.token, "invitation")
    browser = product.browser()
    signed_up = browser.request(
        "POST",
        "/api/public/signup",
        json={
            "email": f"{secrets.token_hex(6)}@example.test",
            "org_name": "Plain",
            "invitation": invited.token,
        },
    )
    assert signed_up.status_code == 202, signed_up.text
    mail = until(lambda: OutboxMail.objects.exclude(body="").first(), 10)
    links = [word for word in mail.body.split() if "/signup/verify/" in word]
    path = "/signup/verify/" + links[0].rpartition("/")[2]
    secrets_seen.seen(links[0].rpartition("/")[2], "link in a mail")
    browser.submit(browser.expect(200, "GET", path), path=path)


@pytest.mark.covers("F48")
def test_whole_run_leaves_no_secret_in_any_log(live_db: None, worker_id: str) -> None:
    name = databases.create(f"{worker_id}_logs")
    try:
        with running_product(database=name, PULSECLOUD_LOG_LEVEL="DEBUG") as product:
            with (
                looking_into(name),
                override_settings(
                    WEB_ADDR=product.web,
                    RELAY_ADDR=product.relay,
                    PUBLIC_URL=product.public_url,
                ),
            ):
                prove_a_mailbox(product)
                journey = Journey()
                try:
                    for step, _, run in journey.steps():
                        run()
                        take_notes(journey, product)
                        if step == "lease_issued":
                            lease = leases.issue(
                                Organisation.objects.get(label=journey.label),
                                issued_for="runtime",
                            )
                            secrets_seen.seen(lease.token, "lease")
                finally:
                    journey.close()
            until(lambda: "request" in product.log("web"), 5)
            product.stop()
            logs = {p.stem for p in (product.data_dir / "logs").glob("*.log")}
            assert logs >= {"web", "relay", "worker", "runtime"}
            secrets_seen.check(product.data_dir)
    finally:
        databases.drop(name)


def test_the_search_bites(tmp_path: Path) -> None:
    secret = secrets.token_hex(32)
    secrets_seen.seen(secret, "planted token")
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "web.log"
    log.write_text("all is well\n")
    secrets_seen.check(tmp_path)
    log.write_text(f'{{"event": "hello {secret}"}}\n')
    with pytest.raises(AssertionError, match="planted token"):
        secrets_seen.check(tmp_path)
    log.write_text("lease eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl\n")
    with pytest.raises(AssertionError, match="JSON Web Token"):
        secrets_seen.check(tmp_path)
