"""A file of invitations: all of them, or none and what is wrong with each line."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from audit.models import Event
from tenants import invitation_batches, invitations
from tenants.invitation_batches import Batch, InvalidBatch
from tenants.models import Invitation, OutboxMail
from tests.rollout.standing import ACTOR
from tests.signup.asking import invitation, mailbox, mails

pytestmark = pytest.mark.django_db


def upload(text: str | bytes, **options: Any) -> Batch:
    content = text.encode() if isinstance(text, str) else text
    return invitation_batches.invite_all(content=content, actor=ACTOR, **options)


def errors(text: str | bytes, **options: Any) -> list[str]:
    before = Invitation.objects.count(), OutboxMail.objects.count(), Event.objects.count()
    with pytest.raises(InvalidBatch) as invalid:
        upload(text, **options)
    assert (Invitation.objects.count(), OutboxMail.objects.count(), Event.objects.count()) == before
    return [str(each) for each in invalid.value.errors]


def test_each_line_is_an_invitation() -> None:
    batch = upload(
        "email,domain,seats,days,note\n"
        "ann@example.com,,,,first\n"
        ",Example.org,5,30,\n"
        "\n"
        '"bob@example.com",,2,,"with, comma"\n'
    )
    rows = Invitation.objects.filter(batch=batch.name).order_by("created_at")
    assert [(r.email, r.domain, r.seats, r.note) for r in rows] == [
        ("ann@example.com", "", 1, "first"),
        ("", "example.org", 5, ""),
        ("bob@example.com", "", 2, "with, comma"),
    ]
    assert [(row.expires_at - row.created_at).days for row in rows] == [13, 29, 13]
    assert len({each.token for each in batch.made}) == 3
    event = Event.objects.get(action="invitation_batch_created")
    assert (event.subject, event.after) == (batch.name, {"count": 3, "sent": 0})


def test_what_spreadsheets_write_is_read() -> None:
    """A byte order mark, semicolons, CRLF, capitals and blanks in names, a column that is short."""
    batch = upload("\ufeff Email ;Note\r\nann@example.com;Köln\r\nbob@example.com\r\n".encode())
    assert [each.invitation.note for each in batch.made] == ["Köln", ""]


def test_mailed_to_addresses_and_shown_for_domains() -> None:
    ann = mailbox()
    batch = upload(f"email,domain\n{ann},\n,example.org\n", send=True)
    assert [each.invitation.email for each in batch.mailed] == [ann]
    assert [each.invitation.domain for each in batch.shown] == ["example.org"]
    assert len(mails(ann)) == 1


def test_every_line_that_is_wrong_is_named_and_nothing_is_done() -> None:
    assert errors(
        "email,domain,seats,days\n"
        "fine@example.com,,1,\n"
        "nobody,,,\n"
        ",nodots,,\n"
        "a@example.com,example.com,,\n"
        ",,3,\n"
        "b@example.com,,many,\n"
        "FINE@example.com,,,\n",
        send=True,
    ) == [
        "line 3: Give a whole email address, such as ann@example.com.",
        "line 4: Give a mail domain such as example.com.",
        "line 5: It needs an address or a domain, and not both.",
        "line 6: It needs an address or a domain, and not both.",
        "line 7: seats must be a whole number, not 'many'.",
        "line 8: fine@example.com stands in line 2 already.",
    ]


def test_ranges_are_checked_before_anything_stays() -> None:
    found = errors("email,seats,days\na@example.com,1,\nb@example.com,0,\nc@example.com,1,366\n")
    assert found == [
        "line 3: Seats must lie between 1 and 10,000.",
        "line 4: Days must lie between 1 and 365.",
    ]
    assert errors("email,seats\na@example.com,2\n", send=True) == [
        "line 2: An invitation that proves a mailbox has one seat."
    ]


def test_uploading_a_file_twice_invites_nobody_twice() -> None:
    upload("email\nAnn@Example.com\nbob@example.com\n")
    found = errors("email\nann@example.com\ncarl@example.com\n")
    assert found == ["line 2: ann@example.com has an invitation that can still be used."]
    Invitation.objects.update(used=1)
    upload("email\nann@example.com\n")


def test_nor_a_domain_twice() -> None:
    """The answer with the links comes from a POST: reloading it sends the file again."""
    upload("domain,seats\nexample.com,5\n")
    found = errors("domain,seats\nExample.com,5\n")
    assert found == ["line 2: example.com has an invitation that can still be used."]


def test_what_it_quotes_of_a_file_is_short() -> None:
    (said,) = errors(",".join(["email", *(f"{n:0100}" for n in range(2000))]))
    assert len(said) < 400
    assert errors(f"email,note\na@example.com,{'x' * 201}\n") == [
        "line 2: The note has 200 characters at most."
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "must name the columns"),
        (b"ann@example.com\n", "must name the columns"),
        (b"email\n", "no line after"),
        (b"email,shoe size\na@example.com,43\n", "'shoe size'"),
        (b"email,email\na@example.com,b@example.com\n", "twice"),
        (b"email\na@example.com,x\n", "2 values for 1 columns"),
        (b'email\n"a@example.com\n', "no CSV"),
        (b"email\n\xff\xfe\n", "not UTF-8"),
        (b"email\na\0@example.com\n", "not text"),
        (b"email\n" + b"a@example.com\n" * 501, "500 lines at most"),
        (b"email\n" + b"x" * 300_000, "larger than 256 KiB"),
    ],
)
def test_what_is_no_such_file_is_refused(text: bytes, says: str) -> None:
    found = errors(text)
    assert len(found) == 1 and says in found[0]


def test_a_name_is_given_once() -> None:
    upload("email\na@example.com\n", name="Berlin meetup")
    assert "already" in errors("email\nb@example.com\n", name="Berlin meetup")[0]
    assert "64 characters" in errors("email\nb@example.com\n", name="x" * 65)[0]


def test_a_batch_is_revoked_as_one() -> None:
    batch = upload("email\na@example.com\nb@example.com\nc@example.com\n")
    other = invitation(mailbox()).invitation
    Invitation.objects.filter(email="a@example.com").update(used=1)
    assert invitations.revoke_batch(batch=batch.name, actor=ACTOR, reason="wrong list") == 2
    assert invitations.revoke_batch(batch=batch.name, actor=ACTOR) == 0
    assert invitations.revoke_batch(batch="", actor=ACTOR) == 0
    other.refresh_from_db()
    assert other.revoked_at is None
    assert invitations.find(batch.made[1].token) is None


class TestCommand:
    def run(self, *arguments: str) -> str:
        out = io.StringIO()
        call_command("invite", *arguments, stdout=out)
        return out.getvalue()

    def test_a_dry_run_logs_no_mail(
        self,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        arguments = ["--csv", self.file(tmp_path, f"email\n{mailbox()}\n{mailbox()}\n"), "--mail"]
        caplog.set_level("INFO")
        for options, written in ((["--dry-run"], 0), ([], 2)):
            caplog.clear()
            with django_capture_on_commit_callbacks(execute=True):
                self.run(*arguments, *options)
            assert caplog.text.count("mail written") == written

    def file(self, folder: Path, text: str) -> str:
        path = folder / "people.csv"
        path.write_text(text)
        return str(path)

    def test_prints_every_link_once(self, tmp_path: Path) -> None:
        said = self.run("--csv", self.file(tmp_path, "email\na@example.com\nb@example.com\n"))
        assert "Invited 2 (0 by mail)" in said
        assert said.count(f"/signup?invitation={invitations.PREFIX}") == 2

    def test_speaks_json(self, tmp_path: Path) -> None:
        file = self.file(tmp_path, "email,domain\na@example.com,\n,b.example\n")
        facts = json.loads(self.run("--csv", file, "--mail", "--batch", "May", "--json"))
        assert (facts["done"], facts["batch"]) == (True, "May")
        assert [each["mailed"] for each in facts["invitations"]] == [True, False]
        assert [each["link"] is None for each in facts["invitations"]] == [True, False]

    def test_a_dry_run_keeps_nothing_and_tells_no_link(self, tmp_path: Path) -> None:
        file = self.file(tmp_path, "email\na@example.com\n")
        before = Event.objects.count()
        assert self.run("--csv", file, "--mail", "--dry-run") == "Would invite 1 (1 by mail).\n"
        facts = json.loads(self.run("--csv", file, "--dry-run", "--json"))
        assert facts["invitations"][0]["link"] is None
        assert (Invitation.objects.count(), OutboxMail.objects.count()) == (0, 0)
        assert Event.objects.count() == before

    def test_names_the_lines_that_are_wrong(self, tmp_path: Path) -> None:
        file = self.file(tmp_path, "email\nnobody\n")
        with pytest.raises(CommandError, match=r"Nobody was invited.\n  line 2: "):
            self.run("--csv", file)

    def test_reads_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stdin = io.TextIOWrapper(io.BytesIO(b"email\na@example.com\n"))
        monkeypatch.setattr(sys, "stdin", stdin)
        assert "Invited 1" in self.run("--csv", "-")

    def test_a_missing_file_is_named(self) -> None:
        with pytest.raises(CommandError, match=r"/nowhere\.csv cannot be read: No such file"):
            self.run("--csv", "/nowhere.csv")

    @pytest.mark.parametrize("option", [["--email", "a@b.example"], ["--seats", "2"], ["--canary"]])
    def test_options_of_one_are_not_for_a_file(self, option: list[str]) -> None:
        with pytest.raises(CommandError, match="one invitation"):
            self.run("--csv", "-", *option)

    def test_revokes_a_batch(self) -> None:
        upload("email\na@example.com\nb@example.com\n", name="May")
        assert self.run("--revoke-batch", "May", "--dry-run").startswith("Would revoke 2")
        assert self.run("--revoke-batch", "May").startswith("Revoked 2 of batch 'May'")
        with pytest.raises(CommandError, match="no batch called June"):
            self.run("--revoke-batch", "June")

    def test_one_for_a_domain(self) -> None:
        facts = json.loads(self.run("--domain", "example.com", "--seats", "5", "--json"))
        assert (facts["domain"], facts["seats"]) == ("example.com", 5)
