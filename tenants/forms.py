"""The sign-up form: the rules of the public API with friendly words."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from tenants import signup_rules


class SignupForm(forms.Form):
    """`request()` is what the form says, once it is valid."""

    org_name = forms.CharField(label="Name of the organisation", strip=True)
    email = forms.CharField(
        label="Your email address",
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    host_label = forms.CharField(label="Address", required=False)
    invitation = forms.CharField(
        label="Invitation", required=False, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["host_label"].help_text = (
            f"Yours will be &lt;address&gt;.{settings.BASE_DOMAIN}. "
            "Left empty, it is made from the name; taken, it gets a few letters more."
        )

    def clean_org_name(self) -> str:
        return str(self._by_rule(signup_rules.clean_org_name, "org_name"))

    def clean_email(self) -> str:
        return str(self._by_rule(signup_rules.clean_email, "email"))

    def clean_host_label(self) -> str | None:
        label: str | None = self._by_rule(signup_rules.clean_host_label, "host_label")
        return label

    def clean_invitation(self) -> str:
        return str(self._by_rule(signup_rules.clean_invitation, "invitation"))

    def request(self) -> signup_rules.Request:
        return signup_rules.Request(**{k: self.cleaned_data[k] for k in self.fields})

    def _by_rule(self, rule: Any, field: str) -> Any:
        try:
            return rule(self.cleaned_data.get(field))
        except signup_rules.InvalidSignup as invalid:
            raise forms.ValidationError(invalid.message, code=invalid.code) from None
