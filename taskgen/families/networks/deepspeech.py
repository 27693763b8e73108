"""A network like Deep Speech 2: LSTMs in both directions, from samples to logits f32[B,T,vocab]."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families.deepspeech import DeepSpeechConfig
from velodrome.taskgen.families.networks.speech import Stem, dense
from velodrome.taskgen.functions import Batch, Dynamic
from velodrome.taskgen.nn.initializers import orthogonal
from velodrome.taskgen.nn.layers import Keys, drop
from velodrome.taskgen.nn.masked import LayerNorm, MaskedBatchNorm, keep
from velodrome.taskgen.views import AudioView

GATES = ("input", "forget", "cell", "output")
LECUN = nnx.initializers.lecun_normal(dtype=jnp.float32)


class LSTM(nnx.Module):
    """An LSTM from a state of zeros, f32[B,T,n] to f32[B,T,units].

    Each gate has its own arrays, as a learned optimizer sees them one by one: a kernel of the
    input, and a kernel and a bias of the state. No bias starts at 1.
    """

    def __init__(self, inputs: int, units: int, rngs: nnx.Rngs):
        self.units = units
        keys = jax.random.split(rngs.params(), len(GATES))
        # All at once: the loop that makes one takes long to compile.
        recurrent = jax.vmap(lambda key: orthogonal(1.0)(key, (units, units)))(keys)
        for number, gate in enumerate(GATES):
            setattr(self, f"{gate}_kernel", nnx.Param(LECUN(rngs.params(), (inputs, units))))
            setattr(self, f"{gate}_recurrent", nnx.Param(recurrent[number]))
            setattr(self, f"{gate}_bias", nnx.Param(jnp.zeros((units,), jnp.float32)))

    def _all(self, name: str) -> jax.Array:
        """Return the arrays of the gates as one, along the last axis."""
        return jnp.concatenate([getattr(self, f"{gate}_{name}")[...] for gate in GATES], axis=-1)

    def __call__(self, x: jax.Array) -> jax.Array:
        projected = (x @ self._all("kernel") + self._all("bias")[None, None]).swapaxes(0, 1)
        recurrent = self._all("recurrent")

        def step(state: tuple[jax.Array, jax.Array], inputs: jax.Array):
            hidden, cell = state
            i, f, g, o = jnp.split(inputs + hidden @ recurrent, len(GATES), axis=-1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
            return (hidden, cell), hidden

        zeros = jnp.zeros((x.shape[0], self.units), jnp.float32)
        return jax.lax.scan(step, (zeros, zeros), projected)[1].swapaxes(0, 1)


def flipped(x: jax.Array, padding: jax.Array) -> jax.Array:
    """Turn each row of f32[B,T,n] round within its true length; what follows is padding."""
    frames = x.shape[1]
    length = frames - padding.sum(axis=1).astype(jnp.int32)
    place = (length[:, None] - 1 - jnp.arange(frames, dtype=jnp.int32)[None]) % frames
    return jnp.take_along_axis(x, place[:, :, None], axis=1)


class RecurrentBlock(nnx.Module):
    """Masked batch norm, and an LSTM in each direction with half of the width."""

    def __init__(self, config: DeepSpeechConfig, rngs: nnx.Rngs):
        width = config.width
        self.norm = MaskedBatchNorm(width)
        self.forward, self.backward = (LSTM(width, width // 2, rngs) for _ in range(2))

    def __call__(self, x: jax.Array, padding: jax.Array, *, train: bool) -> jax.Array:
        x = self.norm(x, padding, train=train)
        back = flipped(self.backward(flipped(x, padding)), padding)
        return jnp.concatenate([self.forward(x), back], axis=-1)


class FeedForward(nnx.Module):
    """Masked batch norm, dense, ReLU; padding becomes 0."""

    def __init__(self, config: DeepSpeechConfig, rngs: nnx.Rngs):
        self.rate = config.dropout
        self.norm = MaskedBatchNorm(config.width)
        self.dense = dense(config.width, config.width, rngs)

    def __call__(self, x: jax.Array, padding: jax.Array, keys: Keys, *, train: bool) -> jax.Array:
        x = jax.nn.relu(self.dense(self.norm(x, padding, train=train))) * keep(padding)
        return drop(x, self.rate, keys)


class DeepSpeech(nnx.Module):
    """Stem, recurrent blocks, feed-forward blocks, all added; layer norm, dense.

    It returns logits, and the padding of their frames.
    """

    def __init__(
        self, config: DeepSpeechConfig, view: AudioView, *, rngs: nnx.Rngs, dynamic: Dynamic
    ):
        del dynamic  # there are no dynamic choices
        self.rate = config.dropout
        self.recurrent, self.feed_forward = config.recurrent_blocks, config.feed_forward_blocks
        self.stem = Stem(config, view, rngs)
        for block in range(self.recurrent):
            setattr(self, f"recurrent_{block}", RecurrentBlock(config, rngs))
        for block in range(self.feed_forward):
            setattr(self, f"feed_forward_{block}", FeedForward(config, rngs))
        self.norm = LayerNorm(config.width)
        self.output = dense(config.width, view.vocab_size, rngs)

    def __call__(self, batch: Batch, *, train: bool, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        keys = iter(jax.random.split(key, 2 + self.feed_forward)) if train else None
        x, padding = self.stem(batch, keys)
        x = drop(x, self.rate, keys)
        for block in range(self.recurrent):
            x = x + getattr(self, f"recurrent_{block}")(x, padding, train=train)
        for block in range(self.feed_forward):
            x = x + getattr(self, f"feed_forward_{block}")(x, padding, keys, train=train)
        return self.output(self.norm(x)), padding
