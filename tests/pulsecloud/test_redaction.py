"""Nothing that looks like a credential gets into a log line, whoever wrote it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys

import pytest

from pulsecloud import redaction
from tests import databases

# Fixed: they stand in test ids, which both test processes must agree on.
HEX = hashlib.sha256(b"hex").hexdigest()
LINK = base64.urlsafe_b64encode(hashlib.sha256(b"link").digest()).decode().rstrip("=")
KEY = base64.b64encode(hashlib.sha256(b"key").digest()).decode()
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


@pytest.mark.covers("F48")
@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"token {HEX} was refused", HEX),
        (f"GET /api/x X-API-Token: {HEX[:40]}", HEX[:40]),
        (f"{{'Authorization': 'Bearer {LINK}'}}", LINK),
        (f"authorization=Basic {LINK[:20]}", LINK[:20]),
        (f"lease {JWT} expired", JWT),
        (f"open pulse://connect?relay_url=ws://x&auth_token={HEX}", HEX),
        (f"Not Found: /signup/verify/{LINK}", LINK),
        (f"Not Found: /sign-in/{LINK}?next=/admin/", LINK),
        (f"POST /hand-off/{LINK[:8]}", LINK[:8]),
        (f"key {KEY}", KEY),
        ("postgresql://pulsecloud:hunter2@db/x", "hunter2"),
        ("smtp://mailer:s3cret@mail.example.com:587", "s3cret"),
        ('{"session_token": "abcdef123456"}', "abcdef123456"),
        ("password='correct horse'", "correct"),
        (f"Cookie: pulsecloud_session={LINK[:32]}", LINK[:32]),
        (f"somewhere in prose {LINK}", LINK),
    ],
)
def test_takes_credentials_out(text: str, secret: str) -> None:
    assert secret not in redaction.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "organisation 0b8f4c52-7f0c-4a51-9d0f-2a3c0f3c9a11 provisioned in 0.42 s",
        "relay_0123456789abcdef connected",
        "GET /api/settings/relay/status answered 200",
        "No module named tenants.provisioning_steps_and_more_things_after_it",
        "request id 5f1c2d3e4f5061728394a5b6c7d8e9f0",
        "2026-11-22 00:34:53.572 UTC",
    ],
)
def test_leaves_the_rest(text: str) -> None:
    assert redaction.text(text) == text


def test_looks_at_names_and_into_nested_values() -> None:
    cleaned = redaction.value(
        {
            "password": "short",
            "auth_token": "short",
            "token_id": "kept",
            "token_hash": "kept",
            "nested": [{"lease": "short", "url": f"x/{LINK}"}],
            "count": 3,
            "none": None,
        }
    )
    assert cleaned["password"] == cleaned["auth_token"] == redaction.GONE
    assert cleaned["token_id"] == cleaned["token_hash"] == "kept"
    assert cleaned["nested"][0]["lease"] == redaction.GONE
    assert LINK not in cleaned["nested"][0]["url"]
    assert cleaned["count"] == 3 and cleaned["none"] is None


def log_lines(code: str) -> list[dict[str, object]]:
    """What a process of ours logs while it runs this code."""
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", code],
        cwd=databases.ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "pulsecloud.settings"},
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_one_json_object_a_line_in_one_form() -> None:
    lines = log_lines(
        "import logging, structlog, warnings\n"
        "structlog.get_logger('a').info('organisation provisioned', seconds=0.4)\n"
        f"logging.getLogger('django.request').warning('Not Found: %s', '/sign-in/{LINK}')\n"
        "try:\n  1 / 0\nexcept ZeroDivisionError:\n"
        f"  structlog.get_logger('b').exception('failed with {HEX}')\n"
    )
    assert [line["event"] for line in lines[:2]] == [
        "organisation provisioned",
        f"Not Found: /sign-in/{redaction.GONE}",
    ]
    assert lines[0] | {"ts": 0} == {
        "ts": 0,
        "level": "info",
        "process": "shell",
        "event": "organisation provisioned",
        "logger": "a",
        "seconds": 0.4,
    }
    assert "ZeroDivisionError" in str(lines[2]["exception"])
    assert HEX not in str(lines[2])
