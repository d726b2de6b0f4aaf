"""To the provider and back: the authorisation code flow with PKCE and a nonce (RFC 6749, RFC 7636,
OpenID Connect Core 3.1; hosted-contract section 11.2).

Authlib writes the requests and joserfc checks the signatures; every connection is made by
`tenants.outbound`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client

from rbac.sso import attempts, discovery, id_token, providers
from rbac.sso.claims import Claimed
from rbac.sso.claims import read as read_claims
from rbac.sso.refusals import SsoRefused
from tenants import addresses, outbound
from tenants.accounts import recent
from tenants.models import Organisation, SsoProvider

_LONGEST_CODE: Final = 4096
# In the order of preference; a provider that says nothing takes the first (OpenID Discovery 3).
_AUTH_METHODS: Final = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True)
class Answer:
    """Who came back, as the checked token and the provider's user information say."""

    provider: SsoProvider
    issuer: str
    subject: str
    claims: Mapping[str, Any]
    claimed: Claimed
    test_by: UUID | None


def callback_address(organisation: Organisation, provider_slug: str) -> str:
    """What the provider must be told to send people back to."""
    return addresses.of_organisation(organisation.instance_host, f"/sso/{provider_slug}/callback")


def start(
    organisation: Organisation,
    provider: SsoProvider,
    *,
    browser: str,
    test_by: UUID | None = None,
    prove_again: bool = False,
) -> str:
    """The provider's address to send the browser to. With `prove_again` the provider is asked to
    have the person sign in anew, and by `max_age` to say that they did (Core, section 2); without,
    its own session is enough. Raises SsoRefused `provider_unavailable`."""
    metadata = discovery.of(provider)
    attempt = attempts.open_for(provider, browser=browser, test_by=test_by, prove_again=prove_again)
    client = _client(organisation, provider, metadata)
    url, _ = client.create_authorization_url(
        metadata.authorization_endpoint,
        state=attempt.state,
        code_verifier=attempt.verifier,
        nonce=attempt.nonce,
        response_mode="query",
        **({"prompt": "login", "max_age": recent.SECONDS} if prove_again else {}),
    )
    return str(url)


def finish(
    organisation: Organisation, slug: str, query: Mapping[str, str], *, browser: str
) -> Answer:
    """Takes the browser's return, and asks the provider who it is. The attempt is used up whatever
    comes of it. Raises SsoRefused with the contract's codes."""
    state = query.get("state", "")
    if not state:
        raise SsoRefused("missing_state")
    taken = attempts.take(state, browser=browser, organisation=organisation.pk)
    provider = taken.provider
    if provider.slug != slug:
        raise SsoRefused("provider_mismatch")
    if not (provider.enabled or taken.test_by):
        raise SsoRefused("provider_not_found")
    metadata = discovery.of(provider)
    named = query.get("iss")
    if named is None and metadata.names_issuer:
        raise SsoRefused("issuer_mismatch", "the answer names no issuer (RFC 9207)")
    if named is not None and named != metadata.issuer:
        raise SsoRefused("issuer_mismatch", "the answer names another issuer (RFC 9207)")
    code = query.get("code", "")
    if not code or len(code) > _LONGEST_CODE or query.get("error"):
        raise SsoRefused("missing_code", _said(query))
    tokens = _exchange(organisation, provider, metadata, code=code, verifier=taken.verifier)
    access_token = tokens.get("access_token")
    access_token = access_token if isinstance(access_token, str) else ""
    said = id_token.verify(
        tokens.get("id_token"),
        provider=provider,
        metadata=metadata,
        nonce=taken.nonce,
        access_token=access_token,
        max_age=recent.SECONDS if taken.prove_again else None,
    )
    said = _completed(provider, metadata, said, access_token)
    return Answer(
        provider=provider,
        issuer=metadata.issuer,
        subject=said["sub"],
        claims=said,
        claimed=read_claims(provider, said),
        test_by=taken.test_by,
    )


class _Session:
    """What Authlib's client posts through: our own connections, and its way to authenticate."""

    def post(
        self, url: str, *, data: Mapping[str, str], headers: Mapping[str, str], auth: ClientAuth
    ) -> httpx.Response:
        body = httpx.QueryParams(dict(data))
        url, sent, prepared = auth.prepare("POST", url, dict(headers), str(body))
        sent = {
            k: v for k, v in sent.items() if k.lower() not in ("content-type", "content-length")
        }
        return outbound.fetch("POST", url, form=dict(httpx.QueryParams(prepared)), headers=sent)


def _client(
    organisation: Organisation, provider: SsoProvider, metadata: discovery.Metadata
) -> OAuth2Client:
    secret = providers.secret_of(provider)
    offered = metadata.auth_methods or _AUTH_METHODS[:1]
    method = next((m for m in _AUTH_METHODS if m in offered), _AUTH_METHODS[0])
    return OAuth2Client(
        _Session(),
        client_id=provider.client_id,
        client_secret=secret or None,
        token_endpoint_auth_method=method if secret else "none",
        scope=provider.scopes,
        redirect_uri=callback_address(organisation, provider.slug),
        code_challenge_method="S256",
    )


def _exchange(
    organisation: Organisation,
    provider: SsoProvider,
    metadata: discovery.Metadata,
    *,
    code: str,
    verifier: str,
) -> Mapping[str, Any]:
    client = _client(organisation, provider, metadata)
    try:
        tokens: Mapping[str, Any] = client.fetch_token(
            metadata.token_endpoint,
            grant_type="authorization_code",
            code=code,
            code_verifier=verifier,
        )
    except outbound.OutboundRefused as refused:
        raise SsoRefused("exchange_failed", str(refused)) from None
    except AuthlibBaseError as error:
        raise SsoRefused("exchange_failed", str(error.error or "")[:100]) from None
    except (httpx.HTTPError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise SsoRefused("exchange_failed", type(error).__name__) from None
    return tokens


def _completed(
    provider: SsoProvider,
    metadata: discovery.Metadata,
    said: Mapping[str, Any],
    access_token: str,
) -> dict[str, Any]:
    """The token's claims, and what only the user information has of those that are asked for.

    It counts only for the same subject (Core 5.3.2) and never replaces what was signed. Without it
    a missing claim stays missing, which is judged later.
    """
    wanted = {provider.email_claim, provider.name_claim, provider.groups_claim} - {""}
    missing = {name for name in wanted if name not in said}
    if not (missing and metadata.userinfo_endpoint and access_token):
        return dict(said)
    try:
        answer = outbound.fetch(
            "GET",
            metadata.userinfo_endpoint,
            headers={"Authorization": f"Bearer {access_token}"},
        )
        more = answer.json()
    except (outbound.OutboundRefused, ValueError, RecursionError):
        return dict(said)
    if answer.status_code != 200 or not isinstance(more, dict) or more.get("sub") != said["sub"]:
        return dict(said)
    # Whether an address is verified is said by whoever claims the address.
    if provider.email_claim in missing:
        missing.add("email_verified")
    fields = {name.partition(".")[0] for name in missing} | {"_claim_names"}
    return {**{k: v for k, v in more.items() if k in fields}, **said}


def _said(query: Mapping[str, str]) -> str:
    """The provider's own word for why not, for the trail."""
    return "".join(c for c in query.get("error", "") if c.isalnum() or c in "_-. ")[:80]
