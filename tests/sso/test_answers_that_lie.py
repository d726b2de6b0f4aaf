"""A provider, or somebody in between, that answers wrongly: nobody is signed in, the page and the
trail say why (hosted-contract 11.2; F54, F55, F58)."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from audit.models import Event
from rbac.sso import discovery
from tenants.models import SsoIdentity, SsoProvider, User
from tests.accounts.browsing import Visitor
from tests.factories import make_organisation
from tests.sso.idp import CLIENT, KEY, OTHER_KEY, Idp, running, say, signed, unsigned
from tests.sso.people import begin, code_in, comes, make_provider

pytestmark = pytest.mark.django_db
NOW = int(time.time())


def refused(visitor: Visitor, provider: SsoProvider, answer: Any, code: str) -> None:
    """Nobody is in, nothing was made, and the page and the trail name the code."""
    assert code_in(answer) == code
    assert answer.status_code >= 400
    assert "error" not in answer.headers.get("Location", "")
    assert not visitor.is_signed_in(provider.organisation.instance_host)
    assert not SsoIdentity.objects.filter(organisation=provider.organisation).exists()
    event = Event.objects.filter(organisation=provider.organisation_id, action="sso_oidc_login")
    assert event.order_by("-pk").first().reason == code  # type: ignore[union-attr]
    assert not event.filter(success=True).exists()


TWISTS: list[tuple[str, dict[str, Any], str]] = [
    ("other-issuer", {"iss": "https://evil.example"}, "issuer_mismatch"),
    ("no-issuer", {"iss": None}, "issuer_mismatch"),
    ("other-audience", {"aud": "another-client"}, "audience_mismatch"),
    ("no-audience", {"aud": None}, "audience_mismatch"),
    ("audience-list-without-us", {"aud": ["a", "b"]}, "audience_mismatch"),
    ("several-audiences-no-azp", {"aud": [CLIENT[0], "b"]}, "audience_mismatch"),
    ("azp-of-another", {"aud": [CLIENT[0], "b"], "azp": "b"}, "audience_mismatch"),
    ("azp-of-another-single", {"azp": "b"}, "audience_mismatch"),
    ("expired", {"exp": NOW - 3600, "iat": NOW - 7200}, "token_expired"),
    ("no-expiry", {"exp": None}, "invalid_id_token"),
    ("expiry-as-text", {"exp": "tomorrow"}, "invalid_id_token"),
    ("from-the-future", {"iat": NOW + 3600}, "invalid_id_token"),
    ("not-yet", {"nbf": NOW + 3600}, "invalid_id_token"),
    ("no-iat", {"iat": None}, "invalid_id_token"),
    ("wrong-nonce", {"nonce": "another"}, "nonce_mismatch"),
    ("no-nonce", {"nonce": None}, "nonce_mismatch"),
    ("nonce-list", {"nonce": ["another"]}, "nonce_mismatch"),
    ("no-subject", {"sub": None}, "missing_subject"),
    ("empty-subject", {"sub": ""}, "missing_subject"),
    ("blank-subject", {"sub": "  "}, "missing_subject"),
    ("number-subject", {"sub": 7}, "missing_subject"),
    ("nul-subject", {"sub": "a\x00b"}, "missing_subject"),
    ("endless-subject", {"sub": "a" * 256}, "missing_subject"),
    ("wrong-at-hash", {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "invalid_id_token"),
]


@pytest.mark.covers("F55", "F74")
@pytest.mark.parametrize(("twist", "code"), [t[1:] for t in TWISTS], ids=[t[0] for t in TWISTS])
def test_claims_that_do_not_fit(
    provider: SsoProvider, idp: Idp, twist: dict[str, Any], code: str
) -> None:
    idp.twist = twist
    visitor = Visitor()
    refused(visitor, provider, comes(visitor, provider, idp), code)


def with_hs256(claims: dict[str, Any]) -> str:
    """Signed with the client secret; RFC 8725 section 2.1 does it with the public key."""
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT[1] * 4))


def with_the_public_key(claims: dict[str, Any]) -> str:
    """By hand: the library refuses to take a public key for a shared secret."""
    said = signed(claims).split(".")[1]
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"test-1"}').rstrip(b"=").decode()
    pem = KEY.as_pem(private=False)
    mac = hmac.digest(pem, f"{header}.{said}".encode(), "sha256")
    return f"{header}.{said}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def with_its_own_key_inside(claims: dict[str, Any]) -> str:
    return signed(claims, OTHER_KEY, jwk=OTHER_KEY.as_dict(private=False))


def torn(claims: dict[str, Any]) -> str:
    head, body, signature = signed(claims).split(".")
    return f"{head}.{body}.{'A' * 8}{signature[8:]}"


def by_another_key(claims: dict[str, Any]) -> str:
    return signed(claims, OTHER_KEY)


def by_an_unpublished_key(claims: dict[str, Any]) -> str:
    return signed(claims, RSAKey.generate_key(2048, {"kid": "unpublished"}))


@pytest.mark.covers("F54")
@pytest.mark.parametrize(
    ("sign", "code"),
    [
        (unsigned, "invalid_signature_alg"),
        (with_hs256, "invalid_signature_alg"),
        (with_the_public_key, "invalid_signature_alg"),
        (with_its_own_key_inside, "invalid_id_token"),
        (by_another_key, "invalid_id_token"),
        (by_an_unpublished_key, "invalid_id_token"),
        (torn, "invalid_id_token"),
        (lambda claims: "no.token", "invalid_id_token"),
        (lambda claims: "a" * 70_000, "invalid_id_token"),
        (lambda claims: ["a list"], "invalid_id_token"),
        (lambda claims: None, "missing_id_token"),
    ],
    ids=["none", "hs256", "hs256-public-key", "own-key-inside", "another-key", "unpublished-key",
         "torn", "no-token", "huge", "list", "missing"],
)  # fmt: skip
def test_signatures_that_are_none(
    provider: SsoProvider, idp: Idp, sign: Callable[[dict[str, Any]], Any], code: str
) -> None:
    idp.sign = sign
    visitor = Visitor()
    refused(visitor, provider, comes(visitor, provider, idp), code)


@pytest.mark.covers("F58")
def test_keys_of_one_issuer_never_vouch_for_another(idp: Idp) -> None:
    """Both name their key the same, and the other organisation's was read a moment ago."""
    ours = make_provider(make_organisation(), idp)
    with running() as theirs:
        theirs.keys, theirs.sign = [OTHER_KEY], by_another_key
        other = make_provider(make_organisation(), theirs)
        neighbour = Visitor()
        assert comes(neighbour, other, theirs).status_code == 303
    idp.sign = by_another_key
    visitor = Visitor()
    refused(visitor, ours, comes(visitor, ours, idp), "invalid_id_token")


def test_a_new_key_is_read_once_it_is_used(
    provider: SsoProvider, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And invented key ids do not have the keys read again and again."""
    assert comes(Visitor(), provider, idp).status_code == 303
    idp.sign = by_an_unpublished_key
    before = idp.asked.count("/jwks")
    for _ in range(3):
        comes(Visitor(), provider, idp)
    assert idp.asked.count("/jwks") == before
    monkeypatch.setattr(discovery, "KEYS_AGAIN_AFTER", 0.0)
    new = RSAKey.generate_key(2048, {"kid": "new"})
    idp.keys, idp.sign = [KEY, new], lambda claims: signed(claims, new)
    assert comes(Visitor(), provider, idp).status_code == 303


@pytest.mark.parametrize(
    "answer",
    [
        say({"error": "invalid_grant"}, 400),
        say({"error": "x" * 500}, 401),
        (500, {}, b"broken"),
        (200, {}, b"<html>"),
        (200, {"Content-Type": "application/json"}, b"[1]"),
        (200, {"Content-Type": "application/json"}, b"[" * 100_000),
        (200, {}, b"x" * 600_000),
        (302, {"Location": "https://evil.example/"}, b""),
        (429, {}, b"slow down"),
    ],
    ids=["refused", "refused-odd", "broken", "html", "list", "deep", "huge", "redirect", "busy"],
)
def test_a_code_that_is_not_exchanged(
    provider: SsoProvider, idp: Idp, answer: tuple[int, dict[str, str], bytes]
) -> None:
    idp.answers["/token"] = lambda: answer
    visitor = Visitor()
    refused(visitor, provider, comes(visitor, provider, idp), "exchange_failed")


def test_a_provider_that_hangs_is_given_up(provider: SsoProvider, idp: Idp, settings: Any) -> None:
    def hang() -> tuple[int, dict[str, str], bytes]:
        time.sleep(1)
        return 200, {}, b"{}"

    idp.answers["/token"] = hang
    visitor = Visitor()
    path = idp.callback(begin(visitor, provider))
    settings.SSO_TIMEOUT = 0.3
    answer = visitor.get(path, host=provider.organisation.instance_host)
    refused(visitor, provider, answer, "exchange_failed")


@pytest.mark.parametrize(
    ("metadata", "answer"),
    [
        ({"issuer": "https://evil.example"}, None),
        ({"issuer": None}, None),
        ({"token_endpoint": "https://user@example.com/"}, None),
        ({"authorization_endpoint": "javascript:alert(1)"}, None),
        ({"jwks_uri": 7}, None),
        ({}, (200, {}, b"no JSON")),
        ({}, (404, {}, b"{}")),
        ({}, (302, {"Location": "http://169.254.169.254/"}, b"")),
    ],
    ids=["other-issuer", "no-issuer", "userinfo-in-url", "script", "no-url", "no-json", "404",
         "redirect-to-metadata-service"],
)  # fmt: skip
def test_a_provider_that_describes_itself_wrongly_gets_nobody(
    provider: SsoProvider, idp: Idp, metadata: dict[str, Any], answer: Any
) -> None:
    discovery.forget(provider)
    idp.metadata = metadata
    if answer:
        idp.answers["/.well-known/openid-configuration"] = lambda: answer
    page = Visitor().post("/sso/work/login", host=provider.organisation.instance_host)
    assert (page.status_code, code_in(page)) == (424, "provider_unavailable")
    assert "refresh" not in page.content.decode()


@pytest.mark.covers("F67")
def test_endpoints_within_the_network_are_not_asked(
    provider: SsoProvider, idp: Idp, settings: Any
) -> None:
    """Discovery is public and honest; the token endpoint leads to a neighbour of ours."""
    settings.SSO_TIMEOUT = 2
    discovery.forget(provider)
    idp.metadata = {"token_endpoint": "https://10.0.0.1/token"}
    visitor = Visitor()
    refused(visitor, provider, comes(visitor, provider, idp), "exchange_failed")


def test_user_information_of_somebody_else_does_not_count(provider: SsoProvider, idp: Idp) -> None:
    SsoProvider.objects.filter(pk=provider.pk).update(allowed_emails=["ann@example.test"])
    idp.userinfo = {"sub": "bob", "email": "ann@example.test"}
    visitor = Visitor()
    refused(visitor, provider, comes(visitor, provider, idp), "email_restricted")
    idp.userinfo = {"email": "ann@example.test", "email_verified": False}
    refused(visitor, provider, comes(visitor, provider, idp), "email_restricted")
    idp.userinfo = {"email": "ann@example.test"}
    assert comes(visitor, provider, idp).status_code == 303


@pytest.mark.covers("H7")
def test_nobody_becomes_staff_whatever_is_claimed(provider: SsoProvider, idp: Idp) -> None:
    """With no staff or superuser around at all."""
    idp.claims = {"sub": "ann", "is_staff": True, "is_superuser": True, "roles": ["admin"],
                  "email": "root@example.test", "groups": ["admin", "superusers"]}  # fmt: skip
    visitor = Visitor()
    assert comes(visitor, provider, idp).status_code == 303
    user = User.objects.get(sso_identities__organisation=provider.organisation)
    assert not (user.is_staff or user.is_superuser or user.has_usable_password())
    assert user.email is None
    assert visitor.get("/admin/").status_code == 302
    begin(visitor, provider)
