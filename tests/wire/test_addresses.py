"""Relay addresses and the pairing deep link."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.wire import addresses, pairing
from relay.wire.pairing import Pairing, PairingError
from tests.vectors import load

ROWS = load()["relay_server_urls"]["table"]


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r["url"])
def test_relay_addresses(row: dict[str, object]) -> None:
    url = str(row["url"])
    if row["accepted"]:
        addresses.check(url)
    else:
        with pytest.raises(addresses.AddressError):
            addresses.check(url)


@pytest.mark.parametrize("url", ["", "relay.example.test", "ws://a b/", "ws://a\n/", "ws://a:x/"])
def test_more_wrong_addresses(url: str) -> None:
    with pytest.raises(addresses.AddressError):
        addresses.check(url)


@pytest.mark.parametrize(
    ("instance", "app"),
    [
        ("wss://Relay.example.test/ws/instance", "wss://relay.example.test/ws/app"),
        ("WSS://relay.example.test", "wss://relay.example.test/ws/app"),
        ("wss://relay.example.test/", "wss://relay.example.test/ws/app"),
        ("ws://127.0.0.1:8443/ws/instance/", "ws://127.0.0.1:8443/ws/app"),
        ("wss://relay.example.test/own/Path/", "wss://relay.example.test/own/Path"),
    ],
)
def test_app_address_is_made_from_the_instance_address(instance: str, app: str) -> None:
    assert addresses.app_url(instance) == app


def published() -> Pairing:
    return pairing.parse(load()["onboarding"]["deep_link"])


def test_published_deep_link_is_read_and_written() -> None:
    onboarding = load()["onboarding"]
    link = published()
    for key, (value,) in onboarding["fields"].items():
        assert key == "schema" or getattr(link, key) == value
    assert link.link() == onboarding["deep_link"]


def test_the_token_is_not_in_the_repr() -> None:
    assert published().auth_token not in repr(published())


def test_a_link_without_identity_and_schema_is_read() -> None:
    link = "pulse://connect?auth_token=t&instance_id=relay_x&relay_url=ws%3A%2F%2Fa%2Fws%2Fapp"
    assert pairing.parse(f"  {link}\n") == Pairing("relay_x", "ws://a/ws/app", "t")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"auth_token": ""}, "auth_token"),
        ({"instance_id": " "}, "instance_id"),
        ({"relay_url": ""}, "relay_url"),
        ({"relay_url": "https://relay.example.test/ws/app"}, "relay_url"),
        ({"identity_public_key": ""}, "identity_public_key"),
        ({"identity_public_key": "AAAA"}, "identity_public_key"),
        ({"identity_fingerprint": "4F:A0"}, "identity_fingerprint"),
    ],
)
def test_links_with_a_missing_or_wrong_part(change: dict[str, str], field: str) -> None:
    link = replace(published(), **change).link()
    with pytest.raises(PairingError) as refused:
        pairing.parse(link)
    assert refused.value.field == field
    assert published().auth_token not in str(refused.value)


@pytest.mark.parametrize(
    ("link", "field"),
    [
        ("", "link"),
        ("https://example.test/", "link"),
        ("pulse://other?auth_token=t", "link"),
        ("pulse://connect?" + "&".join(f"a{n}=b" for n in range(60)), "link"),
        ("pulse://connect?auth_token=a&auth_token=b&instance_id=c", "link"),
        ("pulse://connect?auth_token=%FF&instance_id=c", "link"),
        ("pulse://connect?schema=pulse-mobile-onboarding-v2", "schema"),
    ],
)
def test_text_that_is_no_pairing_link(link: str, field: str) -> None:
    with pytest.raises(PairingError) as refused:
        pairing.parse(link)
    assert refused.value.field == field
