"""Random draws that are the same on every machine, every version, and in every order.

A draw is a hash of its own name: the first 64 bits of SHA-256 over the seed and the path of the
draw. No generator is advanced, so adding a field to a config moves no other field's draw.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from velodrome.foundation.canonical import canonical_json

WORD_BITS = 64


@dataclass(frozen=True)
class Draws:
    """A stream of named draws.

    Args:
      seed: Any integer.
      path: Names and numbers that tell this stream from every other one of the seed.

    Example:
      >>> draws = Draws(0, "mlp", 7)
      >>> draws.word("hidden_size") == draws.word("hidden_size")
      True
    """

    seed: int
    path: tuple[str | int, ...] = field(default=())

    def __init__(self, seed: int, *path: str | int):
        object.__setattr__(self, "seed", int(seed))
        object.__setattr__(self, "path", tuple(path))

    def child(self, *path: str | int) -> Draws:
        """Returns the stream of everything below ``path``."""
        return Draws(self.seed, *self.path, *path)

    def word(self, name: str) -> int:
        """Returns 64 uniform random bits as an integer in [0, 2**64)."""
        text = canonical_json([self.seed, *self.path, name])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")

    def unit(self, name: str) -> float:
        """Returns a uniform float in [0, 1): the top 53 bits of the word, so it is exact."""
        return (self.word(name) >> 11) / (1 << 53)
