"""Is this ID token from them, for us, now, and for this attempt? (OpenID Connect Core 3.1.3.7)"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import (
    ClaimError,
    ExpiredTokenError,
    InvalidKeyIdError,
    JoseError,
    UnsupportedAlgorithmError,
)

from rbac.sso import discovery
from rbac.sso.refusals import SsoRefused
from tenants.models import SsoProvider

# Signatures by a private key only: `none` proves nothing, and the HS family would take the public
# key, or the client secret, for a signing key (F54).
ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
    "EdDSA", "Ed25519",
)  # fmt: skip
LEEWAY: Final = 60  # seconds by which clocks may differ
LONGEST: Final = 64 * 1024
LONGEST_SUBJECT: Final = 255  # Core, section 2
_NEVER: Final = 1 << 40  # Unix time; beyond it stands no time

_CODES = {
    "iss": "issuer_mismatch",
    "aud": "audience_mismatch",
    "azp": "audience_mismatch",
    "nonce": "nonce_mismatch",
    "sub": "missing_subject",
    "auth_time": "not_proved_again",
}


def verify(
    token: object,
    *,
    provider: SsoProvider,
    metadata: discovery.Metadata,
    nonce: str,
    access_token: str = "",
    max_age: int | None = None,
) -> dict[str, Any]:
    """The claims of a token that is all it should be. Raises SsoRefused with the contract's codes.

    With `max_age` it must say that the person proved themselves within so many seconds.
    """
    if not token:
        raise SsoRefused("missing_id_token")
    if not isinstance(token, str) or len(token) > LONGEST:
        raise SsoRefused("invalid_id_token", "no compact token")
    header = _header(token)
    algorithm, kid = header.get("alg"), header.get("kid")
    accepted = set(ALGORITHMS) & set(metadata.algorithms or ALGORITHMS)
    if algorithm not in accepted:
        raise SsoRefused("invalid_signature_alg", str(algorithm)[:40])
    keys = discovery.keys(provider, metadata, kid=kid if isinstance(kid, str) else None)
    try:
        decoded = jwt.decode(token, keys, algorithms=[str(algorithm)])
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": metadata.issuer},
                "aud": {"essential": True, "value": provider.client_id},
                "sub": {"essential": True},
                "nonce": {"essential": True, "value": nonce},
            },
            params={
                "nonce": nonce,
                "client_id": provider.client_id,
                "access_token": access_token,
                "max_age": max_age,
            },
        )
        claims.validate(leeway=LEEWAY)
    except ExpiredTokenError:
        raise SsoRefused("token_expired") from None
    except ClaimError as error:
        # Several may be missing at once; the first that has a code of its own names the failure.
        named = [_CODES[name] for name in error.claim.split(",") if name in _CODES]
        code = named[0] if named else "invalid_id_token"
        raise SsoRefused(code, f"claim {error.claim}"[:120]) from None
    except UnsupportedAlgorithmError:
        raise SsoRefused("invalid_signature_alg", str(algorithm)[:40]) from None
    except InvalidKeyIdError:
        raise SsoRefused("invalid_id_token", "signed with a key that is not published") from None
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SsoRefused("invalid_id_token", type(error).__name__) from None
    _check_subject(claims)
    if max_age is not None and proved_at(claims) < time.time() - max_age - LEEWAY:
        raise SsoRefused("not_proved_again", "claim auth_time")
    return dict(claims)


def proved_at(claims: Mapping[str, Any]) -> float:
    """When the person last proved who they are to the provider, as Unix time; 0 when it does not
    say, for then it may have been long ago."""
    said = claims.get("auth_time")
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said < _NEVER:
        return 0.0
    return min(float(said), time.time())


def _header(token: str) -> Mapping[str, Any]:
    try:
        return jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError):
        raise SsoRefused("invalid_id_token", "malformed") from None


def _check_subject(claims: Mapping[str, Any]) -> None:
    subject = claims["sub"]
    if not isinstance(subject, str) or not subject.strip():
        raise SsoRefused("missing_subject")
    if len(subject) > LONGEST_SUBJECT or not subject.isprintable():
        raise SsoRefused("missing_subject", "no subject of at most 255 printable characters")
