"""The staff outbox in development: links to us can be clicked, everything else is text."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from tenants import mail
from tests.admin import staff

pytestmark = pytest.mark.django_db
OURS = [
    "http://localhost:8000/sign-in/abc?x=1&y=2",
    "http://localhost:8000",
    "http://acme-works.localhost:8000/rest",
]
NOT_OURS = [
    "https://localhost:8000/other-scheme",
    "http://localhost:8001/other-port",
    "http://localhost:80000/longer-port",
    "http://localhost.evil.example:8000/",
    "http://localhost:8000@evil.example/",
    "http://a.acme-works.localhost:8000/two-deep",
    "http://admin.localhost:8000/reserved",
    "http://[::1/broken",
    "http://evil.example\\.localhost:8000/",
    "javascript:alert(1)//http",
    "www.evil.example",
]


def shown(body: str) -> str:
    row = mail.post(to="reader@example.test", subject="Hello", body=body)
    client = staff.signed_in(staff.superuser())
    page = client.get(f"/admin/tenants/outboxmail/{row.pk}/change/").content.decode()
    found = re.search(r'<pre class="staff-mail">(.*?)</pre>', page, re.DOTALL)
    assert found, page
    return found[1]


def test_links_to_us_can_be_clicked_and_nothing_else() -> None:
    text = shown("\n".join([*OURS, *NOT_OURS]))
    assert [html.unescape(each) for each in re.findall('<a href="([^"]*)">', text)] == OURS
    lines = [html.unescape(re.sub("<[^>]*>", "", line)) for line in text.splitlines()]
    assert lines == [*OURS, *NOT_OURS]


def test_what_a_stranger_wrote_is_escaped() -> None:
    link = "http://localhost:8000/x"
    text = shown(f'{staff.HOSTILE} (see {link}).\n{link}"onclick="alert(1)\n<{link}>')
    assert text.count(f'<a href="{link}">{link}</a>') == 3
    rest = text.replace(f'<a href="{link}">{link}</a>', "")
    assert not re.search("[<>\"']", rest)
    assert "&lt;script&gt;" in rest and " (see )." in rest


def test_shows_nothing_where_mail_is_sent(settings: Any) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:9"
    row = mail.post(to="reader@example.test", subject="Hello", body="http://localhost:8000/secret")
    client = staff.signed_in(staff.superuser())
    page = client.get(f"/admin/tenants/outboxmail/{row.pk}/change/").content.decode()
    assert "shown to nobody" in page and "/secret" not in page
