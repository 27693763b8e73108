"""Random numbers that are the same on every machine, in every version, and in every order.

Each number is a hash of its name: the first 64 bits of SHA-256 over the seed and the path of
the number. No generator is advanced, so adding a field to a config changes no other field.
"""

from __future__ import annotations

import hashlib

from velodrome.foundation.canonical import canonical_json

WORD_BITS = 64


class NamedRng:
    """Random numbers by name.

    Args:
      seed: Any integer.
      *path: Names and numbers that distinguish this generator from all others of the seed.

    Example:
      >>> rng = NamedRng(0, "mlp", 7)
      >>> rng.word("hidden_size") == rng.word("hidden_size")
      True
    """

    def __init__(self, seed: int, *path: str | int):
        self.seed, self.path = int(seed), path

    def child(self, *path: str | int) -> NamedRng:
        """Return the generator of everything below ``path``."""
        return NamedRng(self.seed, *self.path, *path)

    def word(self, name: str) -> int:
        """Return 64 uniform random bits as an integer in [0, 2**64)."""
        text = canonical_json([self.seed, *self.path, name])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    def unit(self, name: str) -> float:
        """Return a uniform float in [0, 1): the top 53 bits of the word, so it is exact."""
        return (self.word(name) >> 11) / (1 << 53)
