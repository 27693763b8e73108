"""Words for messages."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Returns a number with its noun: ``"1 task"``, ``"1,200 tasks"``.

    Args:
      count: How many.
      noun: What, in the singular; its plural has an s.
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
