"""What a provider claims, and who may come in by it (hosted-contract 11.2, 11.3; F74, H11)."""

from __future__ import annotations

from typing import Any

import pytest

from rbac.sso import claims
from rbac.sso.refusals import SsoRefused
from tenants.models import SsoProvider


def provider(**fields: Any) -> SsoProvider:
    return SsoProvider(slug="work", **fields)


def verdict(provider: SsoProvider, said: dict[str, Any], *, mapped: bool = False) -> str:
    """The refusal's code, or "in"."""
    try:
        claims.check(provider, claims.read(provider, said), mapped=mapped)
    except SsoRefused as refused:
        return refused.code
    return "in"


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (["Ops", " Dev "], ("Ops", "Dev")),
        (["Platform team", "a,b"], ("Platform team", "a,b")),
        ("Ops,Dev", ("Ops", "Dev")),
        ("Ops Dev\tAll ,x", ("Ops", "Dev", "All", "x")),
        (["Ops", "Ops", ""], ("Ops",)),
        ([], ()),
        ("", ()),
    ],
    ids=["list", "list-keeps-blanks", "commas", "blanks", "duplicates", "empty-list", "empty-text"],
)
def test_groups_come_as_a_list_or_as_text(value: Any, groups: tuple[str, ...]) -> None:
    assert claims.read(provider(), {"groups": value}).groups == groups


@pytest.mark.covers("F74")
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"groups": None},
        {"groups": 7},
        {"groups": {"a": "b"}},
        {"groups": ["a", 1]},
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}},
        {"groups": ["a"], "_claim_names": {"groups": "src1"}},
        {"groups": ["a"], "hasgroups": True},
        {"groups": [f"g{n}" for n in range(claims.MOST_GROUPS + 1)]},
    ],
    ids=["absent", "null", "number", "object", "mixed", "overage", "overage-and-some", "hasgroups",
         "too-many"],
)  # fmt: skip
def test_groups_that_cannot_be_known_keep_out_where_groups_decide(said: dict[str, Any]) -> None:
    assert claims.read(provider(), said).groups is None
    assert verdict(provider(), said) == "in"
    assert verdict(provider(), said, mapped=True) == "group_restricted"
    assert verdict(provider(allowed_groups=["a"]), said) == "group_restricted"


def test_a_dotted_claim_leads_into_objects() -> None:
    keycloak = provider(groups_claim="realm_access.roles")
    assert claims.read(keycloak, {"realm_access": {"roles": ["a"]}}).groups == ("a",)
    assert claims.read(keycloak, {"realm_access.roles": ["b"]}).groups == ("b",)
    assert claims.read(keycloak, {"realm_access": "a"}).groups is None
    named_by_url = provider(groups_claim="https://example.com/groups")
    assert claims.read(named_by_url, {"https://example.com/groups": ["c"]}).groups == ("c",)


@pytest.mark.covers("H11")
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"email": ""},
        {"email": None},
        {"email": ["ann@example.com"]},
        {"email": "ann@example.com", "email_verified": False},
        {"email": "ann@example.com", "email_verified": "false"},
        {"email": "ann@example.com", "email_verified": None},
        {"email": "ann@example.com@evil.example"},
        {"email": "bob@evil.example"},
        {"email": "ann@example.com\n"[:-1] + "\x00"},
    ],
    ids=["absent", "empty", "null", "list", "unverified", "unverified-text", "verified-null",
         "two-ats", "other", "nul"],
)  # fmt: skip
def test_a_restriction_without_a_fitting_verified_address_keeps_out(said: dict[str, Any]) -> None:
    assert verdict(provider(allowed_emails=["ann@example.com"]), said) == "email_restricted"
    assert verdict(provider(allowed_domains=["example.com"]), said) == "domain_restricted"
    assert verdict(provider(), said) == "in"


@pytest.mark.parametrize(
    ("email", "code"),
    [
        ("ann@example.com", "in"),
        ("ANN@Example.COM", "in"),
        ("bob@example.com", "in"),
        ("ann@sub.example.com", "domain_restricted"),
        ("ann@notexample.com", "domain_restricted"),
        ("ann@example.com.evil.example", "domain_restricted"),
    ],
)
def test_domains_are_compared_whole(email: str, code: str) -> None:
    assert verdict(provider(allowed_domains=["Example.com"]), {"email": email}) == code


def test_every_list_must_let_in() -> None:
    strict = provider(allowed_domains=["example.com"], allowed_groups=["Ops"])
    assert verdict(strict, {"email": "ann@example.com", "groups": ["ops"]}) == "in"
    assert verdict(strict, {"email": "ann@example.com", "groups": ["dev"]}) == "group_restricted"
    assert verdict(strict, {"email": "ann@evil.example", "groups": ["ops"]}) == "domain_restricted"


def test_roles_in_the_order_of_the_groups_each_once() -> None:
    mapping = {"ops": "operator", "all staff": "viewer", "admins": "admin", "boss": "admin"}
    groups = ["ALL STAFF", " Admins", "unknown", "ops", "Boss"]
    assert claims.roles_for(groups, mapping) == ["viewer", "admin", "operator"]
    assert claims.roles_for(["unknown"], mapping) == []
    assert claims.roles_for([], mapping) == []


def test_odd_text_is_no_name() -> None:
    for odd in ("a\x00b", "\ud800", "x" * 201, 7, None, ["a"]):
        assert claims.read(provider(), {"name": odd}).name == ""
    assert claims.read(provider(), {"name": "  Ann\n Other "}).name == "Ann Other"
