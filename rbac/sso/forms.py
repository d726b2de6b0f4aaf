"""The form of a provider: the rules of `values` with friendly words."""

from __future__ import annotations

from typing import Any

from django import forms

from rbac.sso import values
from tenants.http.problems import Problem
from tenants.models import MemberRole, SsoProvider
from tenants.people.membership import ROLES

_LISTS = ("allowed_emails", "allowed_domains", "allowed_groups")


def _many(placeholder: str) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": 3, "placeholder": placeholder, "spellcheck": "false"})


class ProviderForm(forms.Form):
    """`values` holds the checked settings once it is valid; `slug` the id of a new provider."""

    slug = forms.CharField(
        label="Id",
        help_text="Stands in the callback address and cannot be changed later, such as “okta”.",
    )
    name = forms.CharField(label="Name", help_text="What people see on the sign-in page.")
    issuer = forms.CharField(
        label="Issuer",
        widget=forms.URLInput(attrs={"placeholder": "https://login.example.com"}),
        help_text="The provider's own address, as it spells it itself.",
    )
    client_id = forms.CharField(label="Client id", widget=forms.TextInput({"autocomplete": "off"}))
    secret = forms.CharField(
        label="Client secret",
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Kept sealed, never shown again.",
    )
    scopes = forms.CharField(label="Scopes", help_text="Some providers need “groups” here.")
    email_claim = forms.CharField(label="Claim with the e-mail address")
    name_claim = forms.CharField(label="Claim with the name")
    groups_claim = forms.CharField(
        label="Claim with the groups",
        required=False,
        help_text="A dot leads into an object, such as realm_access.roles.",
    )
    allowed_emails = forms.CharField(
        label="Only these addresses", required=False, widget=_many("ann@example.com")
    )
    allowed_domains = forms.CharField(
        label="Only addresses of these domains", required=False, widget=_many("example.com")
    )
    allowed_groups = forms.CharField(
        label="Only members of these groups",
        required=False,
        widget=_many("Operations"),
        help_text="One a line. Each list that is not empty must let a person in.",
    )
    default_role = forms.ChoiceField(
        label="What newcomers become",
        choices=[(role.value, role.label) for role in reversed(ROLES)],
        help_text="Their membership. Once groups are mapped, the groups decide what they may do.",
    )
    session_hours = forms.IntegerField(
        label="Hours until they sign in again",
        min_value=values.SESSION_HOURS[0],
        max_value=values.SESSION_HOURS[1],
    )

    def __init__(self, *args: Any, stored: SsoProvider | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("initial", _initial(stored))
        super().__init__(*args, **kwargs)
        self.stored = stored
        self.values: values.Values | None = None
        if stored is not None:
            del self.fields["slug"]
            if stored.client_secret_sealed is not None:
                self.fields["secret"].help_text = "One is stored. Leave it empty to keep that."

    def clean(self) -> dict[str, Any]:
        cleaned = dict(self.cleaned_data)
        given = {k: v for k, v in cleaned.items() if k not in (*_LISTS, "slug")}
        given |= {name: cleaned.get(name, "").splitlines() for name in _LISTS}
        try:
            if "slug" in self.fields and "slug" in cleaned:
                cleaned["slug"] = values.slug(cleaned["slug"])
            if not self.errors:
                self.values = values.parse(given, stored=self.stored)
        except values.Invalid as invalid:
            self.add_error(invalid.field if invalid.field in self.fields else None, invalid.title)
        except Problem as problem:
            self.add_error("slug", problem.title)
        return cleaned


def _initial(stored: SsoProvider | None) -> dict[str, Any]:
    if stored is None:
        return {
            "scopes": values.Values.scopes,
            "email_claim": values.Values.email_claim,
            "name_claim": values.Values.name_claim,
            "groups_claim": values.Values.groups_claim,
            "default_role": MemberRole.VIEWER.value,
            "session_hours": values.Values.session_hours,
        }
    names = [name for name in values.Values.__dataclass_fields__ if name != "secret"]
    initial = {name: getattr(stored, name) for name in names}
    return initial | {name: "\n".join(initial[name]) for name in _LISTS}
