"""Reads DATABASE_URL and EMAIL_URL, and says how to reach the embedded PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pulsecloud import postgres
from pulsecloud.env import SettingError


def from_url(url: str) -> dict[str, Any]:
    """Django's connection settings for postgresql://user:password@host:port/name?option=value."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/"):
        raise SettingError("DATABASE_URL must look like postgresql://user:password@host:5432/name.")
    options = dict(parse_qsl(parts.query))
    return {
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }


def embedded(data_dir: Path) -> dict[str, Any]:
    """How to reach the embedded server of this data directory; reads files, starts nothing."""
    return {
        "NAME": postgres.DATABASE,
        "USER": postgres.USER,
        "PASSWORD": postgres.password(data_dir),
        "HOST": str(postgres.socket_dir(data_dir)),
        "PORT": postgres.PORT,  # PGPORT in the environment must not decide
        "OPTIONS": {},
    }


def email_settings(url: str) -> dict[str, Any]:
    """Django's mail settings for smtp:// (STARTTLS unless ?tls=off) and smtps:// URLs."""
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise SettingError("EMAIL_URL must look like smtp://user:password@host:587.")
    tls_off = dict(parse_qsl(parts.query)).get("tls") == "off"
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if parts.scheme == "smtps" else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp" and not tls_off,
        "EMAIL_TIMEOUT": 10,
    }
