"""What every page's frame needs: where home is, and which of the two kinds of host this is."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest


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
        )
    }
