"""allauth's forms with our rules: addresses are ASCII, so that no two mailboxes look like one."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import (
    ChangePasswordForm,
    LoginForm,
    ResetPasswordForm,
    ResetPasswordKeyForm,
)
from django import forms

from tenants import mailboxes
from tenants.accounts import entry


class SignInForm(LoginForm):  # type: ignore[misc]
    """/accounts/login/"""

    def clean_login(self) -> str:
        _require_ascii(self, "login")
        login: str = super().clean_login()
        return login


class ResetForm(ResetPasswordForm):  # type: ignore[misc]
    """/accounts/password/reset/"""

    def clean_email(self) -> str:
        _require_ascii(self, "email")
        email: str = super().clean_email()
        return email


class NewPasswordForm(ResetPasswordKeyForm):  # type: ignore[misc]
    """Where the link of a reset mail leads."""

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean()
        if not entry.mailbox_suffices(self.user):  # by now; the link may be an hour old
            self.add_error("password1", "Ask whoever runs this server to set your password.")
        return data


class ChangeForm(ChangePasswordForm):  # type: ignore[misc]
    """/accounts/password/change/. The old password is tried under the limits of signing in."""

    def clean_oldpassword(self) -> str:
        given = str(self.cleaned_data.get("oldpassword", ""))
        adapter = get_adapter()
        if not adapter.reauthenticate(self.user, given):
            raise adapter.validation_error("enter_current_password")
        self.user.refresh_from_db(fields=["password"])  # signing in may have hashed it anew
        return given


def _require_ascii(form: forms.Form, name: str) -> None:
    """As it was typed: allauth's fields have folded the letters by now."""
    mailboxes.require_ascii(str(form.data.get(form.add_prefix(name), "")).strip())
