"""The network of the workload ``criteo1tb``."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from velodrome.taskgen.families import dlrm
from velodrome.taskgen.functions import Batch, Dynamic
from velodrome.taskgen.nn.layers import dropout
from velodrome.taskgen.views import HashedTableView


class DLRM(nnx.Module):
    """Numbers f32[B,F] and hashed categories i32[B,K] to a logit f32[B,1]."""

    def __init__(
        self, config: dlrm.DLRMConfig, view: HashedTableView, *, rngs: nnx.Rngs, dynamic: Dynamic
    ):
        del dynamic
        self.rate = config.dropout
        bottom, top = dlrm.bottom_sizes(config, view), dlrm.top_sizes(config, view)
        self.bottom_layers, self.top_layers = len(bottom) - 1, len(top) - 1
        for layer in range(self.bottom_layers):
            n_in, n_out = bottom[layer : layer + 2]
            made = nnx.Linear(
                n_in,
                n_out,
                kernel_init=nnx.initializers.glorot_uniform(),
                bias_init=nnx.initializers.normal(1 / math.sqrt(n_out)),
                rngs=rngs,
            )
            setattr(self, f"bottom_{layer}", made)
        shape = (view.vocab_size, config.embed_size)
        drawn = jax.random.uniform(rngs.params(), shape, jnp.float32)
        self.table = nnx.Param(drawn / math.sqrt(view.vocab_size))
        for layer in range(self.top_layers):
            n_in, n_out = top[layer : layer + 2]
            made = nnx.Linear(
                n_in,
                n_out,
                kernel_init=nnx.initializers.normal(math.sqrt(2 / (n_in + n_out))),
                bias_init=nnx.initializers.normal(math.sqrt(1 / n_out)),
                rngs=rngs,
            )
            setattr(self, f"top_{layer}", made)

    def __call__(self, rows: Batch, *, train: bool, key: jax.Array) -> jax.Array:
        x = rows["row"]
        for layer in range(self.bottom_layers):
            x = jax.nn.relu(getattr(self, f"bottom_{layer}")(x))
        vectors = jnp.concatenate([x[:, None], self.table[...][rows["category"]]], axis=1)
        pairs = jnp.einsum("bie,bje->bij", vectors, vectors)
        upper = np.triu_indices(vectors.shape[1])  # with the diagonal
        x = jnp.concatenate([x, pairs[:, upper[0], upper[1]]], axis=1)
        last = self.top_layers - 1
        for layer in range(last):
            x = jax.nn.relu(getattr(self, f"top_{layer}")(x))
            if layer == last - 1 and train and self.rate:
                x = dropout(x, self.rate, key)
        return getattr(self, f"top_{last}")(x)
