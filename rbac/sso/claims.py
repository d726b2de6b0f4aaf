"""What a provider claims of a person, and whether that may come in (hosted-contract 11.2, 11.3).

Nothing here is an identity: that is issuer and subject (F74). What is needed for a decision and is
not claimed, or not surely, counts against the person (H11).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rbac.sso.refusals import SsoRefused
from tenants.models import SsoProvider

MOST_GROUPS: Final = 1000
_LONGEST_GROUP: Final = 255
_BETWEEN = re.compile(r"[,\s]+")


@dataclass(frozen=True)
class Claimed:
    """`groups` as they were named, None when they cannot be known: then `why_no_groups` says why.
    `email` is empty when none is claimed or the provider says that it is not verified."""

    email: str
    name: str
    groups: tuple[str, ...] | None
    why_no_groups: str = ""


def read(provider: SsoProvider, claims: Mapping[str, Any]) -> Claimed:
    groups, why = _groups(claims, provider.groups_claim)
    return Claimed(
        email=_email(claims, provider.email_claim),
        name=_text(claims.get(provider.name_claim), 200),
        groups=groups,
        why_no_groups=why,
    )


def folded(group: str) -> str:
    """How group names are compared: trimmed, ignoring case."""
    return unicodedata.normalize("NFC", group.strip()).casefold()


def check(provider: SsoProvider, claimed: Claimed, *, mapped: bool) -> None:
    """Raises SsoRefused unless every list that is not empty lets this person in; before mapping.

    `mapped` says that groups decide about roles too: then they must be known.
    """
    if provider.allowed_emails:
        allowed = {_lower(e) for e in provider.allowed_emails}
        if not claimed.email or _lower(claimed.email) not in allowed:
            raise SsoRefused("email_restricted", claimed.email or "no verified e-mail is claimed")
    if provider.allowed_domains:
        allowed = {_lower(d).removeprefix("@") for d in provider.allowed_domains}
        domain = _lower(claimed.email).rpartition("@")[2] if claimed.email else ""
        if not domain or domain not in allowed:
            raise SsoRefused("domain_restricted", claimed.email or "no verified e-mail is claimed")
    if not (provider.allowed_groups or mapped):
        return
    if claimed.groups is None:
        raise SsoRefused("group_restricted", claimed.why_no_groups)
    if provider.allowed_groups and not _any_of(claimed.groups, provider.allowed_groups):
        raise SsoRefused("group_restricted", "in none of the allowed groups")


def roles_for(groups: Collection[str], mapping: Mapping[str, str]) -> list[str]:
    """The roles of these groups, in the groups' order, each once. `mapping`: folded group -> role."""
    found = (mapping.get(folded(group)) for group in groups)
    return list(dict.fromkeys(role for role in found if role is not None))


def split(value: object) -> list[str] | None:
    """A list of texts, or one text split on commas and blanks; None for anything else."""
    if isinstance(value, str):
        return [part for part in _BETWEEN.split(value) if part]
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return [part.strip() for part in value if part.strip()]
    return None


def _groups(claims: Mapping[str, Any], name: str) -> tuple[tuple[str, ...] | None, str]:
    if not name:
        return None, "no groups claim is set for this provider"
    value = _at(claims, name)
    # Some providers name a place to ask instead when the groups are many: then they are unknown,
    # whatever else stands there.
    elsewhere = claims.get("_claim_names")
    if (isinstance(elsewhere, Mapping) and name in elsewhere) or claims.get("hasgroups") is True:
        return None, "too many groups: the provider left them out"
    if value is None:
        return None, f"no claim {name}"
    found = split(value)
    if found is None:
        return None, f"claim {name} is neither a list of names nor text"
    if len(found) > MOST_GROUPS:
        return None, f"more than {MOST_GROUPS} groups"
    cut = (_text(group, _LONGEST_GROUP) for group in found)
    return tuple(dict.fromkeys(group for group in cut if group)), ""


def _at(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that very name, else the one at that dotted path (`realm_access.roles`)."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _email(claims: Mapping[str, Any], name: str) -> str:
    verified = claims.get("email_verified", True)
    if verified is not True and str(verified).strip().lower() != "true":
        return ""
    email = _text(claims.get(name), 255)
    plain = email.count("@") == 1 and " " not in email and len(email) <= 254
    return email if plain and not email.startswith("@") and not email.endswith("@") else ""


def _text(value: object, longest: int) -> str:
    """One line of storable text; a longer one is dropped, because its beginning says another thing."""
    if not isinstance(value, str):
        return ""
    line = " ".join(value.split())
    odd = any(unicodedata.category(c) in ("Cc", "Cs") for c in line)
    return "" if odd or len(line) > longest else line


def _any_of(groups: Collection[str], allowed: Collection[str]) -> bool:
    return bool({folded(g) for g in groups} & {folded(a) for a in allowed})


def _lower(text: str) -> str:
    return text.strip().lower()
