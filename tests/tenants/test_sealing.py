"""Sealed secrets open only with their key, in their context, unchanged."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.sealing import SealError, open_sealed, seal


@given(st.binary(max_size=2000), st.text(max_size=60))
def test_opens_what_it_sealed(plaintext: bytes, context: str) -> None:
    assert open_sealed(seal(plaintext, context=context), context=context) == plaintext


def test_hides_what_it_seals_and_never_the_same_way_twice() -> None:
    first, second = seal(b"identity key", context="a"), seal(b"identity key", context="a")
    assert b"identity" not in first
    assert first != second


def test_opens_in_no_other_context() -> None:
    """A value copied into another organisation's row stays shut."""
    with pytest.raises(SealError):
        open_sealed(seal(b"x", context="a"), context="b")


def test_a_changed_bit_is_noticed() -> None:
    blob = seal(b"some secret", context="a")
    for place in range(len(blob)):
        changed = bytearray(blob)
        changed[place] ^= 1
        with pytest.raises(SealError):
            open_sealed(bytes(changed), context="a")


@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x01" + b"0" * 27, b"clear text", b"\x02" * 60])
def test_what_is_not_sealed_is_an_error(blob: bytes) -> None:
    with pytest.raises(SealError):
        open_sealed(blob, context="a")


def test_a_database_value_opens() -> None:
    assert open_sealed(memoryview(seal(b"x", context="a")), context="a") == b"x"


def test_opens_with_no_other_key(settings: Any) -> None:
    blob = seal(b"x", context="a")
    settings.ENCRYPTION_KEY = base64.b64encode(b"k" * 32).decode()
    with pytest.raises(SealError):
        open_sealed(blob, context="a")


@pytest.mark.parametrize("key", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_key_that_is_none_is_named(settings: Any, key: str) -> None:
    settings.ENCRYPTION_KEY = key
    with pytest.raises(SealError, match="PULSECLOUD_ENCRYPTION_KEY"):
        seal(b"x", context="a")
