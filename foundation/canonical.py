"""One text for one value: canonical JSON, and the content hashes made from it."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Returns the one JSON text that stands for ``value``.

    Keys are sorted, there is no white space, and floats are written as Python's ``repr`` does
    (the shortest text that reads back as the same number, the same on every machine).

    Args:
      value: Anything ``json`` can write; tuples become lists.

    Raises:
      ValueError: ``value`` holds a NaN or an infinity, which JSON cannot express.
      TypeError: ``value`` holds something that JSON cannot express.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True
    )


def content_hash(value: Any) -> str:
    """Returns the SHA-256 (64 hexadecimal digits) of ``canonical_json(value)``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
