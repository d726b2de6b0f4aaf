"""Many invitations from a file: every line, or none and what is wrong with each."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from pulsecloud.staff.verbs import VerbAdmin, staff_actor
from tenants import addresses, invitation_batches
from tenants.invitation_batches import LineError
from tenants.models import User


class BatchForm(forms.Form):
    """What `tenants.invitation_batches.invite_all` takes."""

    file = forms.FileField(
        label="CSV file",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,text/csv"}),
        help_text="The first line names the columns: email or domain, and if you like seats, days "
        f"and note. {invitation_batches.MOST_LINES} lines at most, UTF-8.",
    )
    send = forms.BooleanField(
        label="Mail them",
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text="Each address gets its own link, which is shown to nobody. A domain has no mailbox: "
        "its link is shown here, once.",
    )
    days = forms.IntegerField(
        label="Valid for days",
        min_value=1,
        max_value=365,
        initial=14,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="For lines that do not say.",
    )
    name = forms.CharField(
        label="Name of the batch",
        required=False,
        max_length=invitation_batches.LONGEST_NAME,
        widget=UnfoldAdminTextInputWidget(),
        help_text="To find or revoke them together. Empty: the time of the upload.",
    )
    reason = forms.CharField(
        required=False, max_length=1000, widget=UnfoldAdminTextInputWidget(),
        help_text="Kept in the audit trail.",
    )  # fmt: skip


class BatchesOnPage(VerbAdmin):
    """What InvitationAdmin adds to its pages."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.upload)
        return [path("upload/", view, name="tenants_invitation_upload"), *super().get_urls()]

    def upload(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("tenants.add_invitation"):
            raise PermissionDenied
        posted = request.method == "POST"
        form = BatchForm(request.POST, request.FILES) if posted else BatchForm()
        wrong: list[LineError] = []
        if form.is_valid():
            data = dict(form.cleaned_data)
            content = data.pop("file").read(invitation_batches.LARGEST + 1)
            by = request.user if isinstance(request.user, User) else None
            try:
                batch = invitation_batches.invite_all(
                    content=content, actor=staff_actor(request), created_by=by, **data
                )
            except invitation_batches.InvalidBatch as invalid:
                wrong = invalid.errors
            except addresses.PublicUrlMissing as missing:
                form.add_error(None, str(missing))
            else:
                # Shown in this answer only: a redirect would have to keep the links somewhere.
                context = {"batch": batch, "title": "Invitations made"}
                return self._frame(request, "staff/batch_made.html", context)
        context = {"form": form, "wrong": wrong, "title": "Invite from a file"}
        return self._frame(request, "staff/batch.html", context)

    def _frame(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        frame = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(request, template, {**frame, **context})
