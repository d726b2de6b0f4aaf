"""Secrets minted in a test run, and the search for them in the logs of the processes.

A test, fixture or client that gets hold of a secret (token, link, key, licence, lease) says
`seen(value)`. Whoever started processes says `check(folder)` for their files when they have
ended: every log there is searched for every secret, in the forms in which it could appear, and
for everything that looks like a credential whoever made it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

LOG_NAME = re.compile(r"\.(log|log\.1|out)$")
LEAST = 12  # shorter texts, such as a test's password, appear by accident

_seen: dict[str, str] = {}

# Never right in a log, whoever made it: a JSON Web Token, a pairing link with its token.
_LOOKS = {
    "JSON Web Token": re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    "pairing link": re.compile(r"pulse://\S*auth_token=[0-9a-f]{8}"),
}


def seen(value: str | bytes, what: str = "secret") -> None:
    """Remembers a secret; `what` names its kind in the finding, where the value may not stand."""
    text = value if isinstance(value, str) else base64.b64encode(value).decode()
    if len(text) >= LEAST:
        _seen[text] = what


def check(data_dir: Path) -> None:
    """Fails when a log below this directory holds a secret; its own key files are secrets too."""
    for file in (data_dir / "keys").glob("*"):
        if file.suffix != ".pub" and file.is_file():
            seen(file.read_text(encoding="ascii", errors="replace").strip(), f"key {file.name}")
    findings = scan(log for log in sorted(data_dir.rglob("*")) if LOG_NAME.search(log.name))
    assert not findings, "\n".join(findings)


def scan(files: Iterable[Path]) -> list[str]:
    """Findings, one sentence each, without the secret itself."""
    findings = []
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        for secret, what in _seen.items():
            if any(form in text for form in _forms(secret)):
                findings.append(f"{file}: a {what} ({secret[:4]}…) stands in the log")
        findings += [
            f"{file}: holds a {what}" for what, look in _LOOKS.items() if look.search(text)
        ]
    return findings


def _forms(secret: str) -> set[str]:
    """The secret as it is, quoted for a URL, and, when it is base64 of a key, in hex."""
    forms = {secret, quote(secret, safe="")}
    try:
        raw = base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        return forms
    if len(raw) >= 16:
        forms |= {raw.hex(), base64.urlsafe_b64encode(raw).decode().rstrip("=")}
    return forms
