"""Why a sign-in failed: the codes of hosted-contract section 11.2, and words for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Reason:
    """`status` of the page, and what it says; `again` when trying again may help.

    A provider that fails is no failure of ours: 424 (RFC 4918), which no alarm counts as one.
    """

    status: int
    title: str
    text: str
    again: bool = True


_BROKEN = "Your identity provider's answer cannot be accepted"
_KEPT_OUT = "You are not let in"

REASONS: Final[dict[str, Reason]] = {
    "provider_not_found": Reason(
        404, "There is no such sign-in", "This way to sign in does not exist or is switched off."
    ),
    "org_suspended": Reason(
        403,
        "This organisation is suspended",
        "Nobody can sign in until the suspension is lifted. Nothing is deleted.",
        again=False,
    ),
    "too_many_requests": Reason(
        429, "Too many sign-ins", "Many came from your network just now. Try again in a minute."
    ),
    "provider_unavailable": Reason(
        424,
        "Your identity provider does not answer",
        "It could not be asked where to send you. Try again soon; the organisation's owner can "
        "still sign in with their own password.",
    ),
    "missing_state": Reason(
        400, "This sign-in did not start here", "Start again from the sign-in page."
    ),
    "invalid_state": Reason(
        400,
        "This sign-in is over",
        "It took too long, was used before, or began in another browser. Start again.",
    ),
    "provider_mismatch": Reason(
        400, "This sign-in belongs elsewhere", "It began with another provider. Start again."
    ),
    "missing_code": Reason(
        403, "Your identity provider did not let you in", "It sent you back without signing you in."
    ),
    "exchange_failed": Reason(
        424,
        "Your identity provider did not confirm the sign-in",
        "We asked it who you are and got no usable answer. Try again; if it stays so, the "
        "organisation's administrator should look at the client id and secret.",
    ),
    "missing_id_token": Reason(400, _BROKEN, "It did not say who you are (no ID token)."),
    "invalid_id_token": Reason(400, _BROKEN, "Its ID token is not signed by it, or is malformed."),
    "invalid_signature_alg": Reason(
        400, _BROKEN, "Its ID token is signed in a way that is not accepted."
    ),
    "issuer_mismatch": Reason(400, _BROKEN, "The answer comes from another issuer."),
    "audience_mismatch": Reason(400, _BROKEN, "The answer was made for another application."),
    "token_expired": Reason(400, _BROKEN, "The answer has expired; a clock may be wrong."),
    "nonce_mismatch": Reason(400, _BROKEN, "The answer belongs to another sign-in."),
    "missing_subject": Reason(400, _BROKEN, "It does not say who you are (no subject)."),
    "email_restricted": Reason(
        403,
        _KEPT_OUT,
        "Only certain e-mail addresses may sign in here, and your identity provider did not "
        "vouch for one of them.",
    ),
    "domain_restricted": Reason(
        403,
        _KEPT_OUT,
        "Only addresses of certain domains may sign in here, and your identity provider did not "
        "vouch for one of them.",
    ),
    "group_restricted": Reason(
        403,
        _KEPT_OUT,
        "Your groups decide here, and your identity provider named none that may sign in, or did "
        "not say what groups you are in.",
    ),
    "too_many_permissions": Reason(
        403,
        "Your groups give too much",
        "The roles of your groups have more permissions together than one person may have. Tell "
        "the organisation's administrator.",
    ),
    "not_proved_again": Reason(
        403,
        "Your identity provider did not confirm that it was you just now",
        "What you wanted to do takes a sign-in of the last five minutes. It did not say when you "
        "last signed in there (auth_time), or that was longer ago. Your session goes on; the "
        "organisation's owner can do this, or have the provider tell it.",
    ),
    "session_failed": Reason(
        403, "You cannot be signed in", "Your account here is closed. Ask an administrator."
    ),
}


class SsoRefused(Exception):
    """A sign-in that ends here. `detail` is for the trail and for who tests the settings; strangers
    see the reason's own words only."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail

    @property
    def reason(self) -> Reason:
        return REASONS[self.code]
