"""Canonical JSON and content hashes."""

from __future__ import annotations

import hashlib
import json


def canonical_json(value: object) -> str:
    """Return the one JSON text that stands for ``value``.

    Keys are sorted, there is no white space, tuples become lists, and floats are written as
    Python's ``repr`` does: the shortest text that reads back as the same number, on every machine.

    Raises:
      ValueError: ``value`` holds a NaN or an infinity, which JSON cannot express.
      TypeError: ``value`` holds something else that JSON cannot express.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True
    )


def content_hash(value: object) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of ``canonical_json(value)``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
