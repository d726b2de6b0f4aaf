"""Every colour that text has on the surfaces it stands on: at least 4.5 to 1 (WCAG 2.2, 1.4.3),
controls' borders and icons 3 to 1 (1.4.11), in light and in dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

SHEET = Path(settings.BASE_DIR, "static", "pulsecloud", "site.css").read_text("utf-8")
TEXT = [
    ("ink", "ground"), ("ink", "surface"), ("ink", "sunk"), ("muted", "ground"),
    ("muted", "surface"), ("muted", "sunk"), ("brand", "ground"), ("brand", "surface"),
    ("brand", "brand-wash"), ("brand-strong", "brand-wash"), ("on-brand", "brand"),
    ("on-brand", "brand-strong"), ("good", "good-wash"), ("warn", "warn-wash"),
    ("bad", "bad-wash"), ("bad", "surface"), ("ink", "good-wash"), ("ink", "warn-wash"),
    ("ink", "bad-wash"), ("ink", "brand-wash"), ("muted", "warn-wash"), ("brand", "sunk"),
]  # fmt: skip
CONTROLS = [("control-line", "surface"), ("control-line", "ground"), ("brand", "surface")]


def palette(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6});", block))


LIGHT = palette(SHEET[: SHEET.index("@media (prefers-color-scheme: dark)")])
DARK = LIGHT | palette(SHEET.split("@media (prefers-color-scheme: dark)")[1].split("/* --- ")[0])


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(scheme: str) -> None:
    colours = LIGHT if scheme == "light" else DARK
    weak = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in TEXT}
    assert not {pair: value for pair, value in weak.items() if value < 4.5}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_controls_can_be_seen(scheme: str) -> None:
    colours = LIGHT if scheme == "light" else DARK
    weak = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in CONTROLS}
    assert not {pair: value for pair, value in weak.items() if value < 3}


def test_the_stylesheet_loads_nothing_from_elsewhere() -> None:
    assert "url(" not in SHEET and "@import" not in SHEET
