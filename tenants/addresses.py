"""The addresses that people see. They come from settings, never from a request (contract section 2)."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings


class PublicUrlMissing(Exception):
    """PULSE_PUBLIC_URL is not set, so no link can be written."""


def base() -> str:
    """The base domain's origin, such as http://localhost:8000. Raises PublicUrlMissing."""
    if not settings.PUBLIC_URL:
        raise PublicUrlMissing("PULSE_PUBLIC_URL is not set.")
    return str(settings.PUBLIC_URL)


def on_base(path: str) -> str:
    return base() + path


def of_organisation(host: str, path: str = "/") -> str:
    """An address on an organisation's host, with the scheme and port of the base domain."""
    public = urlsplit(base())
    port = f":{public.port}" if public.port else ""
    return f"{public.scheme}://{host}{port}{path}"
