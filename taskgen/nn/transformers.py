"""What the blocks of transformers share: attention with several heads, and dense layers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.nn.initializers import XAVIER

LAYER_NORM_EPSILON = 1e-6
_MLP_BIAS_STD = 1e-6
# Not infinity: a row that may attend to nothing would be NaN. It attends to all alike.
_MASKED = -1e10


class MultiHead(nnx.Module):
    """The layers of attention, whose width is ``heads * head_dim``.

    Kernels are [width,heads,head_dim], and [heads,head_dim,width] on the way out.
    """

    def __init__(self, heads: int, head_dim: int, rngs: nnx.Rngs, *, biases: bool = True):
        self.biases, width = biases, heads * head_dim

        def kernel(*shape: int) -> nnx.Param:
            # Drawn as the matrix that it acts as: its two sizes give the variance.
            return nnx.Param(XAVIER(rngs.params(), (width, width)).reshape(shape))

        for name in ("query", "key", "value"):
            setattr(self, name, kernel(width, heads, head_dim))
            if biases:
                setattr(self, f"{name}_bias", nnx.Param(jnp.zeros((heads, head_dim), jnp.float32)))
        self.out = kernel(heads, head_dim, width)
        if biases:
            self.out_bias = nnx.Param(jnp.zeros((width,), jnp.float32))

    def project(self, x: jax.Array, name: str) -> jax.Array:
        """Map f32[B,T,width] to "query", "key" or "value" f32[B,T,heads,head_dim]."""
        found = jnp.einsum("btd,dhk->bthk", x, getattr(self, name)[...])
        return found + getattr(self, f"{name}_bias")[...][None, None] if self.biases else found

    def weigh(self, query: jax.Array, key: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return weights f32[B,heads,T,S] of T queries for S keys, 0 where not ``mask`` b[B,T,S].

        Queries are scaled already.
        """
        scores = jnp.einsum("bthk,bshk->bhts", query, key)
        if mask is not None:
            scores = jnp.where(mask[:, None], scores, _MASKED)
        return jax.nn.softmax(scores)

    def merge(self, weights: jax.Array, value: jax.Array) -> jax.Array:
        """Return weighted sums of values f32[B,S,heads,head_dim], mapped to f32[B,T,width]."""
        mixed = jnp.einsum("bhts,bshk->bthk", weights, value)
        found = jnp.einsum("bthk,hkd->btd", mixed, self.out[...])
        return found + self.out_bias[...][None, None] if self.biases else found


def layer_norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(width, epsilon=LAYER_NORM_EPSILON, rngs=rngs)


def mlp_layer(n_in: int, n_out: int, rngs: nnx.Rngs) -> nnx.Linear:
    """Return a dense layer with Xavier-uniform weights and biases near 0."""
    bias_init = nnx.initializers.normal(_MLP_BIAS_STD, jnp.float32)
    return nnx.Linear(n_in, n_out, kernel_init=XAVIER, bias_init=bias_init, rngs=rngs)
