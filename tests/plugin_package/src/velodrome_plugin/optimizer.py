"""Sign descent with momentum."""

from __future__ import annotations

import optax

import velodrome


def make_signum(learning_rate, decay):
    return optax.chain(
        optax.trace(decay), optax.scale_by_sign(), optax.scale_by_learning_rate(learning_rate)
    )


signum = velodrome.OptimizerSpec(
    name="signum",
    label="Signum",
    factory=make_signum,
    grid={"learning_rate": (1e-4, 1e-3, 1e-2, 1e-1), "decay": (0.9,)},
    traced=frozenset({"learning_rate", "decay"}),
)
