"""Random keys of a run: pure functions of the seed, the step, and what they are for."""

from __future__ import annotations

from enum import IntEnum

import jax
from jax.typing import ArrayLike

from velodrome.taskgen.numerics import PRNG

#: Seed of the examples that ``fixed`` evaluations use, for every optimizer and every repetition.
EVAL_SEED = 20_221_117


class Stream(IntEnum):
    """What a key is for. The numbers are part of every result and never change."""

    INIT = 0
    DATA = 1
    LOSS = 2
    OPTIMIZER = 3
    EVAL = 4


def key_of(seed: ArrayLike, stream: Stream, step: ArrayLike | None = None) -> jax.Array:
    """Return the key of one stream of the run ``seed``, at ``step`` if it changes with the step.

    All lanes of a seed have these keys, so that optimizers and rates meet equal noise.
    """
    key = jax.random.fold_in(jax.random.key(seed, impl=PRNG), int(stream))
    return key if step is None else jax.random.fold_in(key, step)


def fresh_eval_seed(seed: int) -> int:
    """Return the seed of the examples that ``fresh`` evaluations of the run ``seed`` use."""
    return EVAL_SEED + 1 + seed
