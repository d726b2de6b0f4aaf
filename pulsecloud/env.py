"""Typed readers for settings that come from the environment.

Every setting is declared where it is read, with its kind, default and help text;
`docs/settings.md` is generated from these declarations. A value that cannot be read stops the
boot with a sentence that names the variable and what it takes.

A secret may stand in a file instead: with `NAME_FILE=/path` the file's text is used as `NAME`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path


class SettingError(Exception):
    """A setting that cannot be used; the message names the variable and the remedy."""


@dataclass(frozen=True)
class Declaration:
    """One documented setting: what it is called, what it takes, what it does."""

    name: str
    kind: str
    default: str
    help: str


_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Environment:
    """Reads settings from one mapping (os.environ unless told) and remembers what it declared."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.declared: dict[str, Declaration] = {}

    def _declare(self, name: str, kind: str, default: str, help: str) -> str | None:
        self.declared[name] = Declaration(name, kind, default, help)
        return self.environ.get(name, "").strip() or None

    def text(self, name: str, default: str = "", *, help: str, shown: str | None = None) -> str:
        """Text; `shown` replaces a computed default in the documentation."""
        value = self._declare(name, "text", default if shown is None else shown, help)
        return default if value is None else value

    def secret(self, name: str, *, help: str, shown: str = "none") -> str | None:
        """A secret, from NAME or from the file that NAME_FILE names; None when neither is set."""
        value = self._declare(name, f"secret, or {name}_FILE", shown, help)
        file_name = self.environ.get(f"{name}_FILE", "").strip()
        if not file_name:
            return value
        if value is not None:
            raise SettingError(f"{name} and {name}_FILE are both set: keep one of them.")
        try:
            value = Path(file_name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingError(f"{name}_FILE cannot be read: {error}") from error
        if not value:
            raise SettingError(f"{name}_FILE names an empty file: {file_name}")
        return value

    def exactly_true(self, name: str, *, help: str) -> bool:
        """On only for the exact text `true` (hosted-contract section 2); anything else is off."""
        self.declared[name] = Declaration(name, "exactly `true`, else off", "off", help)
        return self.environ.get(name, "") == "true"

    def choice(self, name: str, default: str, choices: tuple[str, ...], *, help: str) -> str:
        value = self._declare(name, " or ".join(f"`{c}`" for c in choices), default, help)
        if value is None:
            return default
        if value not in choices:
            raise SettingError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")
        return value

    def integer(
        self, name: str, default: int, *, least: int = 0, most: int = 2**31, help: str
    ) -> int:
        value = self._declare(name, f"whole number, {least} or more", str(default), help)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError:
            raise SettingError(f"{name} must be a whole number, not {value!r}.") from None
        if not least <= number <= most:
            raise SettingError(f"{name} must lie between {least} and {most}, not {number}.")
        return number

    def seconds(self, name: str, default: str, *, help: str) -> float:
        """A duration such as `500ms`, `2s`, `5m`, `24h`; returned in seconds."""
        value = self._declare(name, "duration (`500ms`, `2s`, `5m`, `24h`)", default, help)
        match = _DURATION.match(value or default)
        if match is None:
            raise SettingError(f"{name} must be a duration such as 2s or 5m, not {value!r}.")
        return float(match.group(1)) * _SECONDS[match.group(2)]

    def address(self, name: str, default: str, *, help: str) -> tuple[str, int]:
        """host:port to listen on; `[::1]:8000` for IPv6. Returns (host, port)."""
        value = self._declare(name, "host:port", default, help) or default
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdigit() or not 0 < int(port) < 65536:
            raise SettingError(f"{name} must be host:port, such as 127.0.0.1:8000, not {value!r}.")
        return host.strip("[]"), int(port)

    def words(self, name: str, default: str = "", *, help: str) -> list[str]:
        """Texts separated by commas; empty ones are dropped."""
        value = self._declare(name, "list, separated by commas", default, help)
        return [w.strip() for w in (value or default).split(",") if w.strip()]

    def networks(
        self, name: str, default: str = "", *, help: str
    ) -> list[IPv4Network | IPv6Network]:
        """Networks such as 10.0.0.0/8 or fd00::/8, separated by commas."""
        value = self._declare(name, "list of networks, separated by commas", default, help)
        try:
            return [ip_network(w.strip()) for w in (value or default).split(",") if w.strip()]
        except ValueError as error:
            raise SettingError(f"{name} must list networks such as 10.1.0.0/16: {error}") from None

    def path(self, name: str, default: str, *, help: str) -> Path:
        """A path; a relative one is taken from the working directory."""
        value = self._declare(name, "path", default, help)
        return Path(value or default).expanduser().absolute()
