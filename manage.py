#!/usr/bin/env python3
"""Runs a command. Chooses the settings before Django loads them."""

from __future__ import annotations

import os
import sys


def choose_settings(arguments: list[str]) -> str:
    """`relay --standalone` needs no organisations and no PostgreSQL, so it loads neither."""
    if arguments[:1] == ["relay"] and "--standalone" in arguments:
        return "pulsecloud.settings_relay"
    return "pulsecloud.settings"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", choose_settings(sys.argv[1:]))
    from django.core.management import execute_from_command_line

    from pulsecloud.env import SettingError

    try:
        execute_from_command_line(sys.argv)
    except SettingError as error:
        sys.exit(f"PulseCloud cannot start: {error}")


if __name__ == "__main__":
    main()
