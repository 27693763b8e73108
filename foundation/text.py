"""Numbers as people read them, for messages and tables."""

from __future__ import annotations

import math

_PREFIXES = ("", "k", "M", "G", "T")


def plural(count: int, noun: str) -> str:
    """Return a number with its noun, whose plural has an s.

    >>> plural(1, "task"), plural(1200, "task")
    ('1 task', '1,200 tasks')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def short(number: int | float) -> str:
    """Return a number with three digits and a prefix for thousands.

    >>> short(640), short(1_316_000), short(999_960)
    ('640', '1.32 M', '1 M')
    """
    scaled, prefixes = number, iter(_PREFIXES)
    prefix = next(prefixes)
    while abs(scaled) >= 999.5 and prefix != _PREFIXES[-1]:
        scaled, prefix = scaled / 1000, next(prefixes)
    return f"{scaled:.3g} {prefix}".rstrip()


def size(number_of_bytes: int | float) -> str:
    """Return a number of bytes in powers of 1,000.

    >>> size(12), size(45_696_000)
    ('12 B', '45.7 MB')
    """
    text = short(number_of_bytes)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


def duration(seconds: int | float) -> str:
    """Return a duration in the units a person would choose; ``"?"`` if it is NaN.

    >>> duration(0.00123), duration(4.4), duration(42.4), duration(185), duration(7800)
    ('1.23 ms', '4.4 s', '42 s', '3 min 5 s', '2 h 10 min')
    >>> duration(float("nan"))
    '?'
    """
    if math.isnan(seconds):
        return "?"
    if 0 < seconds < 1e-3:
        return f"{seconds / 1e-6:.3g} us"
    if 0 < seconds < 1:
        return f"{seconds / 1e-3:.3g} ms"
    whole = round(seconds)
    if whole < 10:
        return f"{seconds:.2g} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
