"""Colours of figures on a light and on a dark page."""

from __future__ import annotations

import re

PAGE_LIGHT, PAGE_DARK = "#ffffff", "#171717"
# White and black on the dark page: neither glares.
_DARKEST, _LIGHTEST = 0x17 / 255, 0.92
# WCAG 2.2, 1.4.11 asks for a contrast of 3 to 1 of graphical objects.
_CONTRAST = 4.0
_HEX = re.compile(r"#[0-9a-fA-F]{6}\b")


def variables(text: str) -> tuple[str, set[str]]:
    """Put a CSS variable in the place of every colour ``#rrggbb``; also return the colours."""
    found = {match.lower() for match in _HEX.findall(text)}
    return _HEX.sub(lambda match: variable(match[0]), text), found


def variable(colour: str) -> str:
    """Return ``var(--c0072b2)`` for ``#0072B2``."""
    return f"var(--c{colour[1:].lower()})"


def dark(colour: str) -> str:
    """Return the counterpart, on a dark page, of a light page's colour.

    Greys are mirrored, so that black on white becomes light on dark. Others keep their hue and are
    mixed with white until they stand out as graphical objects must.

    Example:
      >>> dark("#ffffff"), dark("#000000"), dark("#0072B2")
      ('#171717', '#ebebeb', '#1a80ba')
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    if max(red, green, blue) - min(red, green, blue) < 8:
        level = round(255 * _LIGHTEST - (_LIGHTEST - _DARKEST) * (red + green + blue) / 3)
        return f"#{level:02x}{level:02x}{level:02x}"
    for step in range(21):
        mixed = [round(part + (255 - part) * step / 20) for part in (red, green, blue)]
        text = "#" + "".join(f"{part:02x}" for part in mixed)
        if contrast(text, PAGE_DARK) >= _CONTRAST:
            return text
    raise AssertionError("white stands out from the dark page")


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21 (WCAG 2.2, relative luminance)."""
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
