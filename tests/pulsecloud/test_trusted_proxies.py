"""A setting that would let everybody choose their address stops the start (F71)."""

from __future__ import annotations

from typing import Any

import pytest

from pulsecloud import checks


def found(settings: Any, *proxies: str) -> list[str | None]:
    settings.TRUSTED_PROXIES = list(proxies)
    return [message.id for message in checks.trusted_proxies(None)]


@pytest.mark.covers("F71")
@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "10.1.2.3/0"])
def test_trusting_everybody_is_an_error(settings: Any, text: str) -> None:
    assert found(settings, "10.0.0.0/8", text) == ["pulsecloud.E019"]


@pytest.mark.parametrize("text", ["proxy.example.com", "10.0.0.0/33", "*", "true"])
def test_what_is_no_network_is_an_error(settings: Any, text: str) -> None:
    assert found(settings, text) == ["pulsecloud.E018"]


def test_networks_and_addresses_pass(settings: Any) -> None:
    assert found(settings) == []
    assert found(settings, "10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1", "10.1.2.3/8") == []
