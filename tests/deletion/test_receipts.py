"""Receipts: what they say, that they hold, and what does not pass for one."""

from __future__ import annotations

import base64
import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from audit import keys, sealing
from audit.actors import Actor
from audit.models import Event
from tenants.deletion import receipts
from tenants.models import DeletionReceipt, OutboxMail, Removal, State
from tests.admin.staff import HOSTILE
from tests.deletion.aging import asked, overdue, reap
from tests.factories import add_member, make_organisation, make_token, owner_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def receipt() -> DeletionReceipt:
    organisation = overdue(days=1, display_name="Acme")
    reap(organisation)
    return DeletionReceipt.objects.get(organisation=organisation)


def verify(receipt: DeletionReceipt, **more: Any) -> receipts.Verdict:
    return receipts.verify({**receipt.document, **more}, receipt.signature, receipt.kid)


def run(name: str, *arguments: str, capsys: Any) -> tuple[int, str]:
    try:
        call_command(name, *arguments)
        code = 0
    except CommandError as error:
        code = error.returncode
        return code, str(error)
    except SystemExit as ended:
        code = int(str(ended.code))
    return code, capsys.readouterr().out


def test_says_what_how_much_when_by_whom_and_what_copies_remain() -> None:
    organisation = make_organisation(display_name="Acme")
    add_member(organisation)
    make_token(organisation, "settings:read")
    from tenants import lifecycle
    from tenants.models import SuspendedBy
    from tests.deletion.aging import ACTOR, pass_time

    lifecycle.soft_delete(
        organisation=organisation, by=SuspendedBy.OWNER, actor=ACTOR, retention_days=1
    )
    pass_time(organisation, days=1, minutes=1)
    reap(organisation)
    receipt = DeletionReceipt.objects.get(organisation=organisation)
    said = receipt.document
    organisation.refresh_from_db()
    assert (said["label"], said["host"]) == (organisation.label, organisation.instance_host)
    assert (said["requested_by"], said["retention_days"]) == ("owner", 1)
    assert (said["deleted"]["people"], said["deleted"]["tokens"]) == (2, 1)
    assert said["deleted"]["tables"]["tenants_membership"] == 2
    assert said["deleted_at"] >= said["requested_at"]
    assert said["copies"]["count"] == 1 and said["copies"]["until"]
    assert said["receipt"] == str(receipt.pk)


def test_names_no_person(receipt: DeletionReceipt) -> None:
    text = json.dumps(receipts.as_file(receipt))
    mails = OutboxMail.objects.values_list("recipient", flat=True).distinct()
    assert mails
    assert "@" not in text and "Acme" not in text


def test_is_genuine_and_the_public_key_alone_shows_it(receipt: DeletionReceipt) -> None:
    assert verify(receipt)
    kept = receipts.as_file(receipt)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(kept["public_key"]))
    text = json.dumps(
        kept["document"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    public.verify(bytes.fromhex(kept["signature"]), b"pulsecloud deletion receipt 1\n" + text)


def test_any_change_shows(receipt: DeletionReceipt) -> None:
    for name in receipt.document:
        changed = {**receipt.document, name: "other"}
        assert not receipts.verify(changed, receipt.signature, receipt.kid), name
    deeper = copy.deepcopy(receipt.document)
    deeper["copies"]["until"] = None
    assert not receipts.verify(deeper, receipt.signature, receipt.kid)
    assert not verify(receipt, more="x")
    assert not receipts.verify(receipt.document, "zz", receipt.kid)
    assert not receipts.verify(receipt.document, "", receipt.kid)
    assert not receipts.verify(
        {**receipt.document, "x": float("nan")}, receipt.signature, receipt.kid
    )


def test_a_foreign_key_makes_none(receipt: DeletionReceipt, settings: Any) -> None:
    settings.ENCRYPTION_KEY = base64.b64encode(os.urandom(32)).decode()
    foreign = keys.own()
    signature = foreign.sign(receipts.signed_text(receipt.document))
    settings.ENCRYPTION_KEY = base64.b64encode(os.urandom(32)).decode()
    verdict = receipts.verify(receipt.document, signature, foreign.key_id)
    assert not verdict and "none of ours" in verdict.says


def test_after_the_encryption_key_was_replaced(receipt: DeletionReceipt, settings: Any) -> None:
    """The new key vouches for the former one, and the sealed trail for the receipt; a former key
    that leaked makes no new one."""
    former = keys.own()
    sealing.seal()
    settings.ENCRYPTION_KEY = base64.b64encode(os.urandom(32)).decode()
    assert not verify(receipt), "nobody vouches yet"
    sealing.trust(former.key_id, actor=Actor.system("test"), reason="new key")
    verdict = verify(receipt)
    assert verdict and "former key" in verdict.says
    forged = {**receipt.document, "deleted_at": "2020-01-01T00:00:00+00:00"}
    signature = former.sign(receipts.signed_text(forged))
    assert not receipts.verify(forged, signature, former.key_id)


def test_the_trail_knows_its_digest(receipt: DeletionReceipt) -> None:
    event = Event.objects.get(action="org_reaped", organisation=receipt.organisation_id)
    assert event.after is not None
    assert event.after["receipt_digest"] == receipts.digest(receipt.document)


def test_is_mailed_to_the_owner(settings: Any) -> None:
    settings.PUBLIC_URL = "https://cloud.example.test"
    organisation = overdue(days=1, display_name="Acme & Söhne")
    owner = owner_of(organisation).email
    reap(organisation)
    receipt = DeletionReceipt.objects.get(organisation=organisation)
    sent = OutboxMail.objects.filter(recipient=owner).order_by("-pk")[0]
    assert sent.subject == "Acme & Söhne was deleted"
    assert f"https://cloud.example.test/receipts/{receipt.pk}\n" in sent.body
    assert receipt.copies_until is not None
    assert f"until {receipt.copies_until.day} {receipt.copies_until:%B %Y}" in sent.body


def test_canaries_have_none() -> None:
    from tenants import lifecycle

    organisation = make_organisation(canary=True)
    lifecycle.purge(organisation=organisation, actor=Actor.system("test"))
    assert organisation.receipts.count() == 0


def test_the_command_prints_a_file_that_it_believes(
    receipt: DeletionReceipt, tmp_path: Path, capsys: Any
) -> None:
    code, text = run("deletion_receipt", receipt.label, capsys=capsys)
    assert code == 0 and json.loads(text)["document"] == receipt.document
    file = tmp_path / "receipt.json"
    file.write_text(text)
    check = ["deletion_receipt", receipt.label, "--verify", str(file)]
    code, said = run(*check, capsys=capsys)
    assert code == 0 and said.startswith("Genuine")
    code, said = run(*check, "--json", capsys=capsys)
    assert code == 0 and json.loads(said)["genuine"] is True

    file.write_text(text.replace('"people": 1', '"people": 0'))
    code, said = run(*check, capsys=capsys)
    assert code == 1 and "changed after it was signed" in said
    file.write_text(text)
    code, said = run("deletion_receipt", "other", "--verify", str(file), capsys=capsys)
    assert code == 1 and "not of this one" in said


def test_a_file_that_says_two_things_is_none(
    receipt: DeletionReceipt, tmp_path: Path, capsys: Any
) -> None:
    """Of two values under one name the reader sees the first, the signature the second."""
    _, text = run("deletion_receipt", receipt.label, capsys=capsys)
    file = tmp_path / "receipt.json"
    file.write_text(text.replace('"deleted": {', '"deleted": {"rows": 0}, "deleted": {', 1))
    check = ["deletion_receipt", receipt.label, "--verify", str(file)]
    code, said = run(*check, capsys=capsys)
    assert code == 2 and "is not the file of a receipt" in said


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"document": 1}', '{"document": {}, "signature": 1, "kid": "x"}']
)
def test_what_is_no_receipt_is_said_to_be_none(text: str, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "receipt.json"
    file.write_text(text)
    code, said = run("deletion_receipt", "acme", "--verify", str(file), capsys=capsys)
    assert code == 2 and "is not the file of a receipt" in said
    code, said = run("deletion_receipt", "acme", "--verify", str(tmp_path / "no"), capsys=capsys)
    assert code == 2 and "cannot be read" in said
    code, said = run("deletion_receipt", "nobody-here", capsys=capsys)
    assert code == 2 and "no receipt" in said


class TestPage:
    def test_shows_it_to_who_has_the_address(
        self, receipt: DeletionReceipt, client: Client, settings: Any
    ) -> None:
        settings.HOSTED_MODE = False
        answer = client.get(f"/receipts/{receipt.pk}", HTTP_HOST="localhost")
        page = answer.content.decode()
        assert answer.status_code == 200
        assert f"{receipt.label} was deleted" in page and "Genuine" in page
        assert receipt.signature in page and "by its owner" in page

    def test_gives_the_file(self, receipt: DeletionReceipt, client: Client) -> None:
        answer = client.get(f"/receipts/{receipt.pk}.json", HTTP_HOST="localhost")
        assert answer.json() == receipts.as_file(receipt)
        assert f"deletion-receipt-{receipt.label}.json" in answer["Content-Disposition"]

    def test_says_when_the_row_was_tampered_with(
        self, receipt: DeletionReceipt, client: Client
    ) -> None:
        receipt.document["deleted"]["rows"] = 1
        receipt.document["label"] = HOSTILE
        receipt.save()
        page = client.get(f"/receipts/{receipt.pk}", HTTP_HOST="localhost").content.decode()
        assert "Not genuine" in page and "changed after it was signed" in page
        assert HOSTILE not in page

    def test_shows_the_date_that_is_signed(self, receipt: DeletionReceipt, client: Client) -> None:
        said = receipt.copies_until
        DeletionReceipt.objects.update(copies_until=None)
        page = client.get(f"/receipts/{receipt.pk}", HTTP_HOST="localhost").content.decode()
        assert said is not None and f"{said:%Y, %H:%M} UTC</strong>" in page

    def test_says_when_it_is_another_receipts(
        self, receipt: DeletionReceipt, client: Client, capsys: Any
    ) -> None:
        """A genuine document under another number: somebody changed the table."""
        other = overdue(days=1)
        reap(other)
        row = DeletionReceipt.objects.get(organisation=other)
        row.document, row.signature, row.kid = receipt.document, receipt.signature, receipt.kid
        row.save()
        page = client.get(f"/receipts/{row.pk}", HTTP_HOST="localhost").content.decode()
        assert "Not genuine" in page and "another receipt" in page
        code, said = run("deletion_receipt", row.label, capsys=capsys)
        assert code == 1 and "another receipt" in said

    def test_is_not_there_otherwise(self, receipt: DeletionReceipt, client: Client) -> None:
        number = str(receipt.pk)
        wrong = number[:-1] + ("0" if number[-1] != "0" else "1")
        for path in (f"/receipts/{wrong}", f"/receipts/{wrong}.json", "/receipts/x"):
            assert client.get(path, HTTP_HOST="localhost").status_code == 404
        assert client.post(f"/receipts/{number}", HTTP_HOST="localhost").status_code == 405


class TestReaperCommand:
    def test_deletes_what_is_due(self, capsys: Any) -> None:
        organisation = overdue(days=1)
        code, text = run("reaper", "--json", capsys=capsys)
        (found,) = json.loads(text)
        assert code == 0
        assert (found["label"], found["action"]) == (organisation.label, "deleted")
        assert found["receipt"] and found["blast"]["people"] == 1
        code, text = run("reaper", capsys=capsys)
        assert (code, text.strip()) == (0, "Nothing is due.")

    def test_dry_run_shows_the_blast_radius(self, capsys: Any) -> None:
        organisation, active = overdue(days=1), make_organisation()
        code, text = run("reaper", "--dry-run", capsys=capsys)
        assert code == 0
        assert f"{organisation.label}: would be deleted" in text
        assert "1 member let go, 0 accounts removed" in text
        code, text = run("reaper", "--dry-run", active.label, "--json", capsys=capsys)
        assert code == 0 and json.loads(text)[0]["blast"]["rows"] > 0
        for each in (organisation, active):
            each.refresh_from_db()
        assert (organisation.state, active.state) == (State.PENDING_DELETION, State.ACTIVE)

    def test_dry_run_says_what_is_not_due_and_why(self, capsys: Any) -> None:
        active, kept, untold = make_organisation(), asked(days=3), overdue(days=3)
        Removal.objects.filter(organisation=untold).update(notices=[])
        for organisation, why in (
            (active, "Nobody asked for its deletion: it is active."),
            (kept, "It is kept until "),
            (untold, "Its owner was not told in time: not before "),
        ):
            code, text = run("reaper", "--dry-run", organisation.label, capsys=capsys)
            assert code == 0 and "would be deleted" not in text
            assert f"{organisation.label}: is not deleted now. {why}" in text
            assert "If it were due, this would go:" in text
        code, text = run("reaper", "--dry-run", "--json", kept.label, capsys=capsys)
        assert json.loads(text)[0]["waits"].startswith("It is kept until ")

    def test_refuses_what_is_not_due(self, capsys: Any, settings: Any) -> None:
        organisation = make_organisation()
        code, text = run("reaper", organisation.label, capsys=capsys)
        assert code == 2 and "No deletion" in text and "(not_pending_deletion)" in text
        code, text = run("reaper", asked(days=1).label, capsys=capsys)
        assert code == 2 and "It is kept until" in text and "(retention_required)" in text
        code, text = run("reaper", "nobody-here", capsys=capsys)
        assert code == 2 and "There is no organisation" in text
        settings.REAPER = "off"
        assert run("reaper", capsys=capsys)[0] == 2
        due = overdue(days=1)
        for mode in ("off", "dry-run"):
            settings.REAPER = mode
            code, text = run("reaper", due.label, capsys=capsys)
            assert code == 2 and f"PULSECLOUD_REAPER is {mode}" in text
        due.refresh_from_db()
        assert due.state == State.PENDING_DELETION
        settings.REAPER, settings.HOSTED_MODE = "on", False
        code, text = run("reaper", capsys=capsys)
        assert code == 2 and "Hosted mode is off" in text

    def test_puts_off(self, capsys: Any) -> None:
        organisation = overdue(days=1)
        wish = ["reaper", organisation.label, "--put-off", "3"]
        assert run(*wish, capsys=capsys)[0] == 2, "a reason is needed"
        code, text = run(*wish, "--reason", "look first", capsys=capsys)
        assert code == 0 and f"{organisation.label}: due " in text
        assert run("reaper", organisation.label, capsys=capsys)[0] == 2
        event = Event.objects.get(action="org_deletion_put_off", organisation=organisation.pk)
        assert event.reason == "look first"
        code, text = run(
            "reaper", organisation.label, "--put-off", "0", "--reason", "x", capsys=capsys
        )
        assert code == 2 and "1 to 365" in text
        code, text = run("reaper", *wish[1:], "--dry-run", "--reason", "x", capsys=capsys)
        assert code == 2 and "leave --dry-run out" in text

    def test_one_that_fails_ends_with_1(self, capsys: Any, settings: Any, tmp_path: Path) -> None:
        organisation = overdue(days=1)
        blocked = tmp_path / "no folder"
        blocked.write_text("")
        settings.BACKUP_DIR = blocked
        code, text = run("reaper", organisation.label, capsys=capsys)
        assert code == 1 and "nothing was removed" in text
