"""Random integers: the same on every machine and with every version of numpy."""

from __future__ import annotations

import hashlib

import numpy as np


def random_words(count: int, *path: str) -> np.ndarray:
    """Return u64[count], raw words of Philox4x64-10 (Salmon et al. 2011), seeded by ``path``."""
    digest = hashlib.sha256("/".join(path).encode()).digest()
    key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
    return np.random.Philox(key=key).random_raw(count)


def random_bytes(count: int, *path: str) -> np.ndarray:
    """Return u8[count]."""
    words = random_words(-(-count // 8), *path)
    return words.astype("<u8", copy=False).view(np.uint8)[:count]


def random_below(limit: int, count: int, *path: str) -> np.ndarray:
    """Return i64[count] from 0 to ``limit - 1``, ``limit`` at most 2^31; off by 2^-32 at most."""
    high = random_words(count, *path) >> np.uint64(32)
    return ((high * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)
