"""Settings of `relay --standalone`: one process, SQLite, no organisations."""

from __future__ import annotations

import secrets
from typing import Any

from pulsecloud.relay_settings import *  # noqa: F403  # every RELAY_ setting
from pulsecloud.relay_settings import RELAY_DATA_DIR

DEBUG = False
SECRET_KEY = secrets.token_urlsafe(48)  # Django wants one; nothing here signs anything
INSTALLED_APPS = ["relay.server"]
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": RELAY_DATA_DIR / "relay.sqlite3",
        "OPTIONS": {
            # A session is on disk before its REGISTER_ACK is sent, also when the machine dies.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 5,
        },
    }
}
