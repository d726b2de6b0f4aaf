"""The owner takes the organisation's data along, from the base domain: also while it is shut."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from audit.actors import Actor
from tenants import limits
from tenants.accounts import confirming, recent
from tenants.backups import exporting
from tenants.models import Organisation, User
from tenants.owner_views import for_owner

PER_HOUR: Final = 10
_FOLDER: Final = "pulsecloud-export-"
_ABANDONED_AFTER: Final = 3600.0  # seconds; no request lives that long
_TYPES: Final = {"json": "application/json", "sql": "application/sql"}


@for_owner("GET", "POST")
def export(request: HttpRequest, organisation: Organisation) -> HttpResponse:
    """/o/<label>/export: GET says what is in it, POST with `format` json or sql sends the file."""
    if not recent.is_recent(request):
        return HttpResponseRedirect(confirming.address(request.path))
    if request.method != "POST":
        return render(request, "tenants/export.html", {"organisation": organisation})
    form = request.POST.get("format", "")
    if form not in _TYPES:
        return _refused(request, organisation, 400, "Choose JSON or SQL.")
    if not limits.allow("export", str(organisation.pk), limit=PER_HOUR, seconds=3600):
        return _refused(
            request, organisation, 429, f"At most {PER_HOUR} exports an hour. Try again later."
        )
    try:
        return cast(HttpResponse, _file(request, organisation, form))  # it streams
    except exporting.ExportRefused as refused:
        messages.error(request, str(refused))
        return HttpResponseRedirect("/", status=303)


def _file(request: HttpRequest, organisation: Organisation, form: str) -> FileResponse:
    """The file has no name any more when it is sent: it goes with the answer, whatever happens."""
    with tempfile.TemporaryDirectory(prefix=_FOLDER) as place:
        made = exporting.export(
            organisation=organisation,
            to=Path(place),
            formats=[form],
            actor=Actor.person(cast(User, request.user)),
        )
        (file,) = made.files
        opened = file.open("rb")
    answer = FileResponse(opened, as_attachment=True, filename=file.name, content_type=_TYPES[form])
    answer["Cache-Control"] = "no-store"
    return answer


def forget_abandoned() -> None:
    """Removes what exports left in the temporary directory whose process was killed: it is a
    customer's data in the clear."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with suppress(OSError):
            found = folder.lstat()
            if found.st_uid == os.getuid() and found.st_mtime < time.time() - _ABANDONED_AFTER:
                shutil.rmtree(folder)


def _refused(
    request: HttpRequest, organisation: Organisation, status: int, text: str
) -> HttpResponse:
    context = {"organisation": organisation, "error": text}
    return render(request, "tenants/export.html", context, status=status)
