"""The mail server is down: nothing fails, staff are told, and mail goes out when it is back."""

from __future__ import annotations

import json
import re

import httpx
from django.db import connections

from audit.actors import Actor
from tenants import invitations
from tenants.models import Organisation, OutboxMail, State
from tests import databases, secrets_seen
from tests.accounts.postbox import Postbox, postbox_at
from tests.nights.asking import readiness
from tests.product import Product, free_port, running_product
from tests.waiting import until

EMAIL = "ann@night.example"


def test_sign_up_waits_for_the_mail_and_is_finished_by_it(
    database_name: str, live_db: None
) -> None:
    port = free_port()
    name = databases.create(f"{database_name.rpartition('_')[2]}_night")
    url = f"smtp://127.0.0.1:{port}?tls=off"
    try:
        with (
            running_product(database=name, EMAIL_URL=url) as product,
            databases.looking_into(name),
        ):
            sign_up(product)
            mail = until(lambda: OutboxMail.objects.exclude(error="").first(), 30)
            assert (mail.recipient, mail.sent_at) == (EMAIL, None)
            told = until(lambda: readiness(product)[1].get("mail_waits"), 40, every=0.5)
            assert "EMAIL_URL" in told and "manage.py mail --now" in told
            assert readiness(product)[0] == 200
            assert "look whether the server that EMAIL_URL names" in product.log("worker")
            shown = json.loads(product.manage("mail", "--json").stdout)
            assert shown["waiting"] >= 1 and shown["mails"][0]["recipient"] == EMAIL
            assert re.search("ConnectionRefusedError", shown["mails"][0]["error"])
            with postbox_at(port) as box:
                path = mailed_link(product, box)
                page = product.browser()
                answer = page.submit(page.expect(200, "GET", path), path=path)
                assert answer.status_code == 303, answer.text
                until(lambda: Organisation.objects.get().state == State.ACTIVE, 30)
            assert "mail_waits" not in readiness(product)[1]
    finally:
        connections.close_all()
        databases.drop(name)


def sign_up(product: Product) -> None:
    """Invited, but not by mail: the mailbox has still to be proved."""
    invited = invitations.invite(actor=Actor.system("test"))
    secrets_seen.seen(invited.token, "invitation")
    browser = product.browser()
    page = browser.expect(200, "GET", "/signup")
    answer = browser.submit(
        page, path="/signup", email=EMAIL, org_name="Night", invitation=invited.token
    )
    assert answer.status_code == 200 and "mailbox" in answer.text.lower()


def mailed_link(product: Product, box: Postbox) -> str:
    """The mail comes at once when it is told to, not at its next turn."""

    def arrived() -> bool:
        product.manage("mail", "--now", "--reason", "the mail server is back")
        return bool(box.received)

    until(arrived, 40, every=0.5, what="the mail arrives")
    text = box.received[0][1].get_content()
    link = re.search(r"https?://\S+", text)
    assert link is not None
    path = httpx.URL(link[0]).path
    secrets_seen.seen(path.rpartition("/")[2], "link to prove the mailbox")
    return path
