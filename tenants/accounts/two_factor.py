"""The second factor: codes of an authenticator app, and recovery codes (RFC 6238, by allauth).

What the codes are made from is sealed at rest. Tries are limited and a code is good once, across
all processes: allauth's own memory of both is per process.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import segno
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from django import forms

from tenants import sealing
from tenants.accounts import lockout
from tenants.models import User

_CONTEXT = "two-factor"


class TwoFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Seals secrets, draws the code to scan, and names us in the authenticator app."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "This code is not right. Codes change every 30 seconds; each works once.",
    }

    def encrypt(self, text: str) -> str:
        return base64.b64encode(sealing.seal(text.encode(), context=_CONTEXT)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Raises sealing.SealError."""
        return sealing.open_sealed(base64.b64decode(encrypted_text), context=_CONTEXT).decode()

    def build_totp_svg(self, url: str) -> str:
        """The set-up link as a QR code, scaled by its view box."""
        drawn = io.BytesIO()
        segno.make(url, error="m", micro=False).save(
            drawn, kind="svg", border=4, omitsize=True, light="#ffffff", dark="#000000"
        )
        return drawn.getvalue().decode()


class _Code(forms.Form):
    """A code field that phones offer digits for, with our limits before the code is judged."""

    user: User

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        attributes = {
            "autocomplete": "one-time-code",
            "autocapitalize": "none",
            "spellcheck": "false",
            "inputmode": "numeric",
        }
        code = self.fields["code"]
        code.widget.attrs = attributes
        code.label, code.max_length = "Code", 20  # type: ignore[attr-defined]

    def clean_code(self) -> str:
        account = str(self.user.email)
        if not lockout.admit_code(context.request, account):
            raise forms.ValidationError(
                "Too many wrong codes. Wait 15 minutes, then try again.", code="too_many"
            )
        code: str = super().clean_code()  # type: ignore[misc]
        used = getattr(self, "authenticator", None)
        if used is None or used.type == Authenticator.Type.TOTP:
            digits = "".join(filter(str.isdigit, code))
            if not lockout.first_use(digits, account):
                raise TwoFactorAdapter().validation_error("incorrect_code")
        lockout.code_succeeded(context.request, account)
        return code


class CodeForm(_Code, AuthenticateForm):  # type: ignore[misc]
    """At sign-in."""


class ConfirmForm(_Code, ReauthenticateForm):  # type: ignore[misc]
    """Before a dangerous page."""


class ActivateForm(_Code, ActivateTOTPForm):  # type: ignore[misc]
    """The first code, which shows that the app was set up."""
