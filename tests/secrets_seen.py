"""Secrets minted in a test run, and the search for them in the logs of the processes.

A test, fixture or client that gets hold of a secret (token, link, key, licence, lease) says
`seen(value)`. Whoever starts a process says `watch(folder)` for the folder of its log files. When
the run ends, every file there is searched for every secret, in the forms in which it could appear.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

LEAST = 12  # shorter texts, such as a test's password, appear by accident

_seen: dict[str, str] = {}
_folders: list[Path] = []


def seen(value: str | bytes, what: str = "secret") -> None:
    """Remembers a secret; `what` names its kind in the finding, where the value may not stand."""
    text = value if isinstance(value, str) else base64.b64encode(value).decode()
    if len(text) >= LEAST:
        _seen[text] = what


def watch(folder: Path) -> None:
    """Has the logs (*.log, *.log.1) below this folder searched when the run ends."""
    if folder not in _folders:
        _folders.append(folder)


def scan(files: Iterable[Path]) -> list[str]:
    """Findings, one sentence each, without the secret itself."""
    findings = []
    for file in files:
        text = file.read_text(encoding="utf-8", errors="replace")
        for secret, what in _seen.items():
            if any(form in text for form in _forms(secret)):
                findings.append(f"{file}: a {what} ({secret[:4]}…) stands in the log")
    return findings


def logs() -> list[Path]:
    """Every watched log file."""
    return [
        file
        for folder in _folders
        for pattern in ("*.log", "*.log.1")
        for file in sorted(folder.rglob(pattern))
    ]


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
