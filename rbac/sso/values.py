"""What a provider's settings may say (hosted-contract section 11.1); forms and API share it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from rbac.sso import claims
from tenants import outbound
from tenants.http.problems import Problem
from tenants.models import MemberRole, SsoProvider
from tenants.people.membership import ROLES

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}[A-Za-z0-9]?")
_CLAIM = re.compile(r"[!-~]{1,128}")
_SCOPE = re.compile(r"[!#-\[\]-~]{1,100}")  # RFC 6749 section 3.3
_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
RESERVED: Final = frozenset({"settings", "new", "required"})  # pages stand there
LONGEST_NAME: Final = 128
MOST_ENTRIES: Final = 200  # of a list
SESSION_HOURS: Final = (1, 24)
SECRET_LONGEST: Final = 2048


@dataclass(frozen=True)
class Values:
    """A provider's settings, checked. `secret` is None to keep the stored one."""

    name: str
    issuer: str
    client_id: str
    secret: str | None = None
    scopes: str = "openid profile email"
    groups_claim: str = "groups"
    email_claim: str = "email"
    name_claim: str = "name"
    allowed_groups: list[str] = field(default_factory=list)
    allowed_domains: list[str] = field(default_factory=list)
    allowed_emails: list[str] = field(default_factory=list)
    default_role: str = MemberRole.VIEWER
    session_hours: int = 8


class Invalid(Problem):
    """400 `validation_error`; `field` is the settings' name of what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(400, "validation_error", message)
        self.field = field


def slug(text: object) -> str:
    """A provider's id. Raises Problem 400 `missing_id`, `invalid_id`."""
    value = text.strip() if isinstance(text, str) else ""
    if not value:
        raise Problem(400, "missing_id", "Give the provider an id.")
    if not _SLUG.fullmatch(value) or value.lower() in RESERVED:
        raise Problem(
            400,
            "invalid_id",
            "An id has 1 to 64 letters, digits, hyphens and underscores, and begins with a letter "
            "or digit; “settings”, “new” and “required” are taken.",
        )
    return value


def parse(given: Mapping[str, Any], *, stored: SsoProvider | None = None) -> Values:
    """`given` by the names of `Values`; what is not given keeps its stored value, or the default.

    Raises Invalid.
    """

    def of(name: str, default: Any) -> Any:
        found = given.get(name)
        if found is not None:
            return found
        return default if stored is None else getattr(stored, name)

    return Values(
        name=_line("name", of("name", ""), LONGEST_NAME),
        issuer=_issuer(of("issuer", "")),
        client_id=_line("client_id", of("client_id", ""), 255),
        secret=_secret(given.get("secret")),
        scopes=_scopes(of("scopes", Values.scopes)),
        groups_claim=_claim("groups_claim", of("groups_claim", "groups"), empty=True),
        email_claim=_claim("email_claim", of("email_claim", "email")),
        name_claim=_claim("name_claim", of("name_claim", "name")),
        allowed_groups=_entries("allowed_groups", of("allowed_groups", [])),
        allowed_domains=[
            _domain(d) for d in _entries("allowed_domains", of("allowed_domains", []))
        ],
        allowed_emails=[_email(e) for e in _entries("allowed_emails", of("allowed_emails", []))],
        default_role=_role(of("default_role", MemberRole.VIEWER)),
        session_hours=_hours(of("session_hours", 8)),
    )


def mapping(given: object) -> dict[str, str]:
    """{group: role id} with the groups folded. Raises Invalid."""
    if not isinstance(given, Mapping):
        raise Invalid("groupRoleMappings", "The mapping must be an object of group: role.")
    found: dict[str, str] = {}
    for group, role in given.items():
        name = claims.folded(group) if isinstance(group, str) else ""
        if not name or len(name) > 255 or not name.isprintable():
            raise Invalid("groupRoleMappings", "A group needs a name of at most 255 characters.")
        if not isinstance(role, str) or not role:
            raise Invalid("groupRoleMappings", f"Choose a role for {name}.")
        if found.get(name, role) != role:
            raise Invalid("groupRoleMappings", f"The group {name} is mapped twice.")
        found[name] = role
    return found


def _line(field: str, value: object, longest: int) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > longest or not text.isprintable():
        raise Invalid(field, f"Give one line of at most {longest} characters.")
    return text


def _issuer(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    text = text.removesuffix("/.well-known/openid-configuration")
    try:
        outbound.check_url(text)
    except outbound.OutboundRefused as refused:
        raise Invalid("issuer", str(refused)) from None
    if "?" in text:
        raise Invalid("issuer", "An issuer's address has no question mark.")
    return text


def _secret(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > SECRET_LONGEST or not value.isprintable():
        raise Invalid("secret", "The client secret must be one line of text.")
    return value.strip() or None


def _scopes(value: object) -> str:
    parts = value.split() if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(
        isinstance(p, str) and _SCOPE.fullmatch(p) for p in parts
    ):
        raise Invalid("scopes", "Scopes are words separated by blanks.")
    text = " ".join(dict.fromkeys(["openid", *parts]))
    if len(text) > 255:
        raise Invalid("scopes", "These are too many scopes.")
    return text


def _claim(field: str, value: object, *, empty: bool = False) -> str:
    text = value.strip() if isinstance(value, str) else "\n"
    if not (_CLAIM.fullmatch(text) or (empty and not text)):
        raise Invalid(field, "The name of a claim has at most 128 characters and no blanks.")
    return text


def _entries(field: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise Invalid(field, "Give a list of texts.")
    found = list(dict.fromkeys(v.strip() for v in value if v.strip()))
    if len(found) > MOST_ENTRIES or any(len(v) > 255 or not v.isprintable() for v in found):
        raise Invalid(field, f"At most {MOST_ENTRIES} entries of at most 255 characters each.")
    return found


def _domain(value: str) -> str:
    domain = value.lower().removeprefix("@")
    if not _DOMAIN.fullmatch(domain):
        raise Invalid("allowed_domains", f"{value} is not a domain such as example.com.")
    return domain


def _email(value: str) -> str:
    if value.count("@") != 1 or value.startswith("@") or value.endswith("@") or " " in value:
        raise Invalid("allowed_emails", f"{value} is not an address such as ann@example.com.")
    return value.lower()


def _role(value: object) -> str:
    if value not in ROLES:
        raise Invalid("default_role", f"The role must be one of {', '.join(ROLES)}.")
    return str(value)


def _hours(value: object) -> int:
    least, most = SESSION_HOURS
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Invalid("session_hours", f"A session lasts {least} to {most} hours.")
    return value
