"""Takes credentials out of log lines, whoever wrote the line: our code, Django or a traceback.

The first rule is not to log a secret; this is the second line behind it. It goes by the shape of
the text and by the name of the key, and prefers taking too much.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

GONE = "[redacted]"

# Keys whose whole value is a credential; `token_id`, `token_hash`, `key_id` are not.
_SECRET_KEY = re.compile(
    r"(?:^|[_\-.])(?:password|passwd|secret|token|cookie|authorization|licen[cs]e|lease|jwt|"
    r"private_key|secret_key|encryption_key|deep_link|invitation|credential|api_key|sessionid)$",
    re.IGNORECASE,
)
_PLAIN = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # The pairing link carries the phone's token.
        (r"pulse://[^\s\"'<>]+", f"pulse://{GONE}"),
        # JSON Web Tokens: leases, licences, grants.
        (r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*\.?[A-Za-z0-9_-]*", GONE),
        # user:password@ in an address
        (r"(?<=://)[^\s/@:\"']*:[^\s/@\"']+@", f"{GONE}@"),
        # Headers and form fields by name, in prose, JSON or a repr.
        (
            r"(?i)\b((?:proxy-)?authorization|x-api-token|set-cookie|cookie|csrfmiddlewaretoken|"
            r"password\d?|secret|session_token|refresh_token|license_token|auth_token|"
            r"invitation|token)"
            r"([\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic|token)\s+)?[^\s\"',;&}\]]+",
            rf"\1\2{GONE}",
        ),
        (r"(?i)\bbearer\s+[^\s\"',;]+", f"Bearer {GONE}"),
        # Single-use links: whatever follows these paths.
        (
            r"(/(?:signup/verify|sign-in|hand-off|join|invitations?|password/reset/key)/)[^\s/?#\"']+",
            rf"\1{GONE}",
        ),
        # Tokens that say what they are, however they are torn.
        (r"\betr_hosted_[0-9a-f]+|\b(?:inv|canary|join|ml1)_[A-Za-z0-9_-]{16,}", GONE),
        # Django's password reset: seconds in base 36, a digest in hex.
        (r"\b[0-9a-z]{6,7}-[0-9a-f]{32}\b", GONE),
        # API tokens and every other 256-bit value in hex.
        (r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64,}(?![0-9A-Fa-f])", GONE),
        # 32 bytes in base64: keys.
        (r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=(?!=)", GONE),
    )
)
# 32 bytes in unpadded URL-safe base64: link tokens. Long names in one case are left alone.
_URL_SAFE = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43,}(?![A-Za-z0-9_=-])")


def _mixed(match: re.Match[str]) -> str:
    text = match[0]
    mixed = text.lower() != text != text.upper() and any(c.isdigit() for c in text)
    return GONE if mixed else text


def text(value: str) -> str:
    """The text without anything that looks like a credential."""
    for pattern, replacement in _PLAIN:
        value = pattern.sub(replacement, value)
    return _URL_SAFE.sub(_mixed, value)


def value(item: Any) -> Any:
    """The same for nested lists and mappings; other things become text, cleaned."""
    if item is None or isinstance(item, bool | int | float):
        return item
    if isinstance(item, dict):
        return {str(k): GONE if v and names_secret(str(k)) else value(v) for k, v in item.items()}
    if isinstance(item, list | tuple | set | frozenset):
        return [value(each) for each in item]
    return text(item if isinstance(item, str) else str(item))


def names_secret(key: str) -> bool:
    """Whether a value under this key is a credential as a whole."""
    return bool(_SECRET_KEY.search(key))


def processor(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: cleans a whole event just before it is written."""
    cleaned: dict[str, Any] = value(dict(event))
    return cleaned
