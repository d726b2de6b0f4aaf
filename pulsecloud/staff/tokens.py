"""An organisation's API tokens and paired phones on its staff page: seen without secrets, revoked
with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from pulsecloud.staff import organisation_tabs
from pulsecloud.staff.verbs import ReasonForm, VerbAdmin, staff_actor
from rbac import mobile, scopes, tokens
from rbac.models import ApiToken
from tenants.models import Organisation, User
from tenants.schemas import SchemaError, SchemaMissing, in_schema

SHOWN: Final = 50
PERMISSION: Final = "tenants.change_organisation"
_CONSEQUENCES = {
    True: (
        "The phone is disconnected within seconds and shut out for good.",
        "It forgets its pairing; its person can pair it again.",
    ),
    False: ("Programs that use it are refused from the next request on.", "This is for good."),
}


@dataclass(frozen=True)
class Row:
    """A living token; `revoke` is the address of the page that asks, empty for who may not."""

    token: ApiToken
    phone: bool
    may: str
    person: str
    revoke: str


class TokensOnPage(VerbAdmin):
    """What OrganisationAdmin adds to its page."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.revoke_token)
        own = path(
            "<uuid:organisation_id>/tokens/<uuid:token_id>/revoke/",
            view,
            name="tenants_organisation_revoke_token",
        )
        return [own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        organisation = self.get_object(request, object_id)
        if organisation_tabs.chosen(request) != organisation_tabs.PEOPLE:
            return super().change_view(request, object_id, form_url, extra_context)
        rows = _rows(organisation, may_revoke=request.user.has_perm(PERMISSION))
        more = {
            "token_rows": None if rows is None else rows[:SHOWN],
            "more_tokens": rows is not None and len(rows) > SHOWN,
        }
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **more})

    def revoke_token(
        self, request: HttpRequest, organisation_id: UUID, token_id: UUID
    ) -> HttpResponse:
        """Asks; its POST with a reason revokes."""
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        organisation, token = _found(organisation_id, token_id)
        page = reverse("admin:tenants_organisation_change", args=[organisation_id])
        back = f"{page}?{organisation_tabs.KEY}={organisation_tabs.PEOPLE}"
        form = ReasonForm(request.POST if request.method == "POST" else None, needed=True)
        if request.method == "POST" and form.is_valid():
            tokens.revoke(
                organisation,
                token_id,
                actor=staff_actor(request),
                reason=form.cleaned_data["reason"],
            )
            messages.success(request, f"Revoked: {token.name}.")
            return HttpResponseRedirect(back)
        phone = token.purpose == mobile.PURPOSE
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Remove a phone" if phone else "Revoke a token",
            "organisation": organisation,
            "token": token,
            "living": tokens.is_living(token),
            "consequences": _CONSEQUENCES[phone],
            "form": form,
            "back": back,
        }
        return TemplateResponse(request, "staff/revoke_token.html", context)


def _rows(organisation: Organisation | None, *, may_revoke: bool) -> list[Row] | None:
    """Phones first; one more than is shown when there are more. None when they cannot be read."""
    if organisation is None or organisation.provisioned_at is None:
        return []
    try:
        with in_schema(organisation):
            found = list(tokens.living().order_by("-purpose", "-created_at", "pk")[: SHOWN + 1])
    except SchemaMissing:
        return None if organisation.deleted_at is None else []
    except (DatabaseError, SchemaError):
        return None
    people = User.objects.in_bulk({token.user for token in found})
    return [
        Row(
            token,
            token.purpose == mobile.PURPOSE,
            scopes.words(token.scopes),
            str(people.get(token.user, "nobody any more")),
            reverse("admin:tenants_organisation_revoke_token", args=[organisation.pk, token.pk])
            if may_revoke
            else "",
        )
        for token in found
    ]


def _found(organisation_id: UUID, token_id: UUID) -> tuple[Organisation, ApiToken]:
    organisation = Organisation.objects.filter(pk=organisation_id).first()
    if organisation is None:
        raise Http404
    try:
        with in_schema(organisation):
            token = ApiToken.objects.filter(pk=token_id).first()
    except SchemaError:
        token = None
    if token is None:
        raise Http404
    return organisation, token
