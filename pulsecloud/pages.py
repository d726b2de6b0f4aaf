"""What every page's frame needs: where home is, and which of the two kinds of host this is."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from tenants.door import Knock

# The sections of an organisation's host: title, path, and what seeing it takes.
_SECTIONS = (
    ("Overview", "/", "read", "organisation"),
    ("Phones", "/devices", "read", "settings"),
    ("People", "/people", "read", "users"),
    ("Roles", "/roles", "read", "users"),
    ("API tokens", "/tokens", "read", "settings"),
    ("Single sign-on", "/sso/settings", "admin", "users"),
    ("Audit", "/audit", "read", "audit_logs"),
)


@dataclass(frozen=True)
class Section:
    title: str
    path: str
    current: bool


@dataclass(frozen=True)
class Frame:
    """`base` stands before every base-domain path; empty on the base domain itself.

    On an organisation's host the base domain's names cannot be reversed (another URLconf), so
    templates write `{{ frame.base }}/accounts/login/`.
    """

    base: str
    on_organisation_host: bool
    hosted: bool
    production: bool
    sends_mail: bool
    sections: tuple[Section, ...]

    @property
    def home(self) -> str:
        return f"{self.base}/"


def frame(request: HttpRequest) -> dict[str, Frame]:
    """Context processor: `frame` for templates/base.html."""
    on_organisation_host = getattr(request, "organisation_label", None) is not None
    return {
        "frame": Frame(
            base=settings.PUBLIC_URL if on_organisation_host else "",
            on_organisation_host=on_organisation_host,
            hosted=settings.HOSTED_MODE,
            production=settings.PRODUCTION,
            sends_mail=bool(settings.EMAIL_URL),
            sections=_sections(request),
        )
    }


def _sections(request: HttpRequest) -> tuple[Section, ...]:
    """Those of the organisation that whoever passed the door may see."""
    knock = getattr(request, "knock", None)
    if not isinstance(knock, Knock):
        return ()
    return tuple(
        Section(title, path, _within(request.path, path))
        for title, path, action, resource in _SECTIONS
        if knock.may(action, resource)
    )


def _within(here: str, path: str) -> bool:
    return here == path or (path != "/" and here.startswith(f"{path}/"))
