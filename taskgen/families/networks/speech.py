"""What the two speech networks share: from samples to subsampled frames f32[B,T,width]."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families.speech import SpeechConfig, bins
from velodrome.taskgen.functions import Batch
from velodrome.taskgen.nn.conv import conv2d
from velodrome.taskgen.nn.initializers import XAVIER
from velodrome.taskgen.nn.layers import Keys
from velodrome.taskgen.nn.logmel import frame_padding, log_mel
from velodrome.taskgen.nn.masked import keep
from velodrome.taskgen.nn.specaugment import spec_augment
from velodrome.taskgen.views import AudioView


def dense(n_in: int, n_out: int, rngs: nnx.Rngs) -> nnx.Linear:
    """Return a dense layer with Xavier-uniform weights and biases of 0."""
    return nnx.Linear(n_in, n_out, kernel_init=XAVIER, rngs=rngs)


class Subsampling(nnx.Module):
    """A 3x3 convolution of stride 2 with ReLU; frames of padding become 0."""

    def __init__(self, channels: int, features: int, rngs: nnx.Rngs):
        self.kernel = nnx.Param(XAVIER(rngs.params(), (3, 3, channels, features)))
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))

    def __call__(self, x: jax.Array, padding: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = conv2d(x, self.kernel[...], stride=2) + self.bias[...][None, None, None]
        padding = padding[:, ::2]
        return jax.nn.relu(x) * keep(padding)[..., None], padding


class Stem(nnx.Module):
    """Log-mel features, SpecAugment in training, two strided convolutions, dense.

    Data that are features already are taken as they are.
    """

    def __init__(self, config: SpeechConfig, view: AudioView, rngs: nnx.Rngs):
        width = config.width
        self.from_samples = not view.features
        self.time_masks, self.freq_masks = config.time_masks, config.freq_masks
        self.first = Subsampling(1, width, rngs)
        self.second = Subsampling(width, width, rngs)
        self.dense = dense(-(-bins(view) // 4) * width, width, rngs)

    def __call__(self, batch: Batch, keys: Keys) -> tuple[jax.Array, jax.Array]:
        """Return f32[B,T,width] and its padding f32[B,T], where T is a quarter of the frames."""
        x, padding = batch["audio"], batch["audio_padding"]
        if self.from_samples:
            x, padding = log_mel(x), frame_padding(padding)
        if keys is not None:
            masks = {"time_masks": self.time_masks, "freq_masks": self.freq_masks}
            x = spec_augment(x, padding, next(keys), **masks)
        x, padding = self.first(x[..., None], padding)
        x, padding = self.second(x, padding)
        return self.dense(x.reshape(*x.shape[:2], -1)), padding
