"""Weights in the key tree of the official file, to make files like it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from velodrome.optimizers.velo.weights.tree import INPUT_GROUPS, VeLOWeights


def official_tree(weights: VeLOWeights) -> dict[str, Any]:
    """Return the official key tree of the weights; the layer that is never used is zero."""
    starts = [sum(INPUT_GROUPS[:i]) for i in range(len(INPUT_GROUPS))]
    bank = {
        f"w0__{i}": weights.bank_w0[:, start : start + size]
        for i, (start, size) in enumerate(zip(starts, INPUT_GROUPS, strict=True))
    }
    for name in ("b0", "w1", "b1", "w2", "b2"):
        bank[name] = getattr(weights, f"bank_{name}")
    linears = {
        "linear_1": "pool",
        "linear_2": "project",
        "rnn/linear": "lstm",
        "rnn_to_controls": "controls",
        "step_size": "step_size",
    }
    rnn = {
        official: {"w": getattr(weights, f"{ours}_w"), "b": getattr(weights, f"{ours}_b")}
        for official, ours in linears.items()
    }
    rnn["linear"] = {"w": jnp.zeros_like(weights.pool_w), "b": jnp.zeros_like(weights.pool_b)}
    return {
        "ff_mod_stack": {"~": bank},
        "lstm_init_state": {
            "hidden": weights.initial_hidden[None],
            "cell": weights.initial_cell[None],
        },
        "rnn_params": rnn,
    }
