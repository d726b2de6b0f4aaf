"""The form that makes an API token, with what its scopes mean in plain words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from rbac import scopes, tokens
from tenants.door import Knock
from tenants.http import bodies

_EXPIRY = (
    ("7", "in a week"),
    ("30", "in a month"),
    ("90", "in three months"),
    (str(tokens.LONGEST.days), "in a year"),
    ("", "never: it lives until somebody revokes it"),
)


class TokenForm(forms.Form):
    """Offers only scopes that its person may hand out; `tokens.issue` asks again."""

    name = forms.CharField(
        label="What is it for?",
        max_length=120,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "placeholder": "Such as: nightly report"}
        ),
    )
    scopes = forms.MultipleChoiceField(
        label="What may it do?",
        error_messages={"required": "Choose at least one."},
    )
    expires = forms.ChoiceField(
        label="When does it stop working?", choices=_EXPIRY, initial="90", required=False
    )

    def __init__(self, knock: Knock, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.offered = [s for s in scopes.CHOOSABLE if knock.may(s.action, s.resource)]
        field = self.fields["scopes"]
        assert isinstance(field, forms.MultipleChoiceField)  # noqa: S101 - for the type checker
        field.choices = [(scope.id, scope.title) for scope in self.offered]

    def clean_name(self) -> str:
        name = bodies.one_line(self.cleaned_data["name"], longest=120)
        if not name:
            raise forms.ValidationError("Say what it is for.")
        return name

    def chosen(self) -> list[str]:
        """Ids of the boxes that are ticked, for showing the form again."""
        return list(self["scopes"].value() or [])

    def expires_at(self) -> datetime | None:
        days = self.cleaned_data["expires"]
        return timezone.now() + timedelta(days=int(days)) if days else None
