"""What a sign-up may say (hosted-contract section 3.1), and how a label is chosen."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from tenants import hosts, mailboxes

# Labels of canaries begin with this, and no others do (a constraint guards the first half).
CANARY_PREFIX: Final = "canary-"
_SUFFIX_ALPHABET: Final = "abcdefghjkmnpqrstvwxyz23456789"  # nothing that reads like another
_LONGEST_LABEL: Final = 40
_TRIES: Final = 8


class InvalidSignup(ValueError):
    """A request that cannot be accepted; `code` is the contract's, `field` the form's."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.message = message


@dataclass(frozen=True)
class Request:
    """A sign-up that may be acted on. `host_label` is None when it shall be derived."""

    email: str
    org_name: str
    host_label: str | None = None
    invitation: str = ""


def parse(body: Mapping[str, Any]) -> Request:
    """Unknown fields are ignored. Raises InvalidSignup: first e-mail, then name, then label."""
    return Request(
        email=clean_email(body.get("email")),
        org_name=clean_org_name(body.get("org_name")),
        host_label=clean_host_label(body.get("host_label")),
        invitation=clean_invitation(body.get("invitation")),
    )


def clean_email(value: Any) -> str:
    """ASCII, at most 254 characters, one @, a dotted domain, no blank or control character."""
    email = value.strip() if isinstance(value, str) else ""
    if not email.isascii() and "@" in email:
        raise InvalidSignup("invalid_email", "email", mailboxes.NOT_ASCII)
    local, _, domain = email.partition("@")
    try:
        if len(email) > 254 or "." not in domain.strip(".") or domain != domain.strip("."):
            raise ValidationError("form")
        if not local or _has_control(email) or " " in email:
            raise ValidationError("form")
        validate_email(email)
    except ValidationError:
        raise InvalidSignup(
            "invalid_email", "email", "Give a whole email address, such as ann@example.com."
        ) from None
    return email


def clean_org_name(value: Any) -> str:
    """3 to 64 bytes of UTF-8 without control characters, slashes or backslashes."""
    name = value.strip() if isinstance(value, str) else ""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell
        size = 0
    if not 3 <= size <= 64 or _has_control(name) or "/" in name or "\\" in name:
        raise InvalidSignup(
            "invalid_org_name", "org_name", "Give a name of 3 to 64 characters without slashes."
        )
    return name


def clean_host_label(value: Any) -> str | None:
    """3 to 40 of a-z, 0-9 and hyphens. Whether it is free or reserved is not judged here."""
    if value is None or value == "":
        return None
    label = value.strip().lower() if isinstance(value, str) else ""
    # "xn--" and its kin would be shown as other letters by browsers.
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{1,38}[a-z0-9]", label) or label[2:4] == "--":
        raise InvalidSignup(
            "invalid_host_label",
            "host_label",
            "Give 3 to 40 letters, digits and hyphens, with no hyphen at either end.",
        )
    return label


def clean_invitation(value: Any) -> str:
    """Text or nothing: whether it is good is told to nobody."""
    return value.strip()[:200] if isinstance(value, str) else ""


def labels(request: Request, *, canary: bool) -> Iterator[str]:
    """Labels to try, best first; after the wanted one each has a random suffix."""
    wanted = request.host_label or derived(request.org_name)
    if canary and not wanted.startswith(CANARY_PREFIX):
        wanted = CANARY_PREFIX + wanted
    if not canary and wanted.startswith(CANARY_PREFIX):
        wanted = "org-" + wanted
    wanted = wanted[:_LONGEST_LABEL].rstrip("-")
    if hosts.valid_label(wanted):
        yield wanted
    for _ in range(_TRIES):
        yield f"{wanted[: _LONGEST_LABEL - 6].rstrip('-')}-{_suffix()}"


def derived(org_name: str) -> str:
    """A label from a name: Köln & Söhne → koln-sohne; what leaves nothing becomes `org`."""
    plain = unicodedata.normalize("NFKD", org_name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    words = words[: _LONGEST_LABEL - 6].strip("-")
    return words if len(words) >= 3 else f"org-{words}".rstrip("-")


def _suffix() -> str:
    return "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(5))


def _has_control(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text)
