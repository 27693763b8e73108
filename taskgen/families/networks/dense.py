"""Networks of dense layers: classifiers of images and rows, the autoencoder, and their losses."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from velodrome.taskgen.families import autoencoder, mlp, tabular_mlp
from velodrome.taskgen.functions import Batch, Dynamic, Metrics, Scalar
from velodrome.taskgen.nn import losses
from velodrome.taskgen.nn.initializers import kernel_initializer
from velodrome.taskgen.nn.layers import DenseStack
from velodrome.taskgen.views import RegressionView, TableView

LOG_FLOOR = 1e-8


class MLP(DenseStack):
    """Flatten, then dense layers: images f32[B,H,W,C] to logits f32[B,classes]."""

    def __init__(
        self, config: mlp.MLPConfig, view: mlp.MLPView, *, rngs: nnx.Rngs, dynamic: Dynamic
    ):
        super().__init__(
            mlp.sizes(config, view),
            kernel_init=kernel_initializer(dynamic),
            norm=config.normalization,
            rate=config.dropout,
            rngs=rngs,
        )

    def __call__(
        self, image: jax.Array, *, train: bool, key: jax.Array, dynamic: Dynamic
    ) -> jax.Array:
        x = image.reshape(image.shape[0], -1)
        return self.run(x, dynamic["activation"], train=train, key=key)


def mlp_objective(logits: jax.Array, batch: Batch, view: mlp.MLPView) -> Metrics:
    if view.loss == "mse":
        return losses.one_hot_regression(logits, batch, view)
    return losses.classification(logits, batch, view)


def normalize_mlp(loss: Scalar, view: mlp.MLPView) -> jax.Array:
    if view.loss == "mse":
        return losses.normalize_one_hot_regression(loss, view)
    return losses.normalize_classification(loss, view)


class TabularMLP(DenseStack):
    """Dense layers: rows f32[B,F] to logits f32[B,classes], or to predictions f32[B,targets]."""

    def __init__(
        self,
        config: tabular_mlp.TabularMLPConfig,
        view: TableView | RegressionView,
        *,
        rngs: nnx.Rngs,
        dynamic: Dynamic,
    ):
        super().__init__(
            tabular_mlp.sizes(config, view), kernel_init=kernel_initializer(dynamic), rngs=rngs
        )

    def __call__(self, row: jax.Array, *, dynamic: Dynamic) -> jax.Array:
        return self.run(row, dynamic["activation"])


class Autoencoder(DenseStack):
    """Dense layers from an image f32[B,H,W,C] to itself, and the loss of each, f32[B]."""

    def __init__(
        self,
        config: autoencoder.AutoencoderConfig,
        view: autoencoder.AutoencoderView,
        *,
        rngs: nnx.Rngs,
        dynamic: Dynamic,
    ):
        layers = autoencoder.sizes(config, view)
        super().__init__(layers, kernel_init=kernel_initializer(dynamic), rngs=rngs)
        self.config = config

    def __call__(self, image: jax.Array, *, dynamic: Dynamic) -> jax.Array:
        config = self.config
        target = 2 * (image - 0.5) if config.center_data else image
        x = self.run(target.reshape(image.shape[0], -1), dynamic["activation"])
        x = x.reshape(image.shape)
        if config.constrain_output:
            x = jnp.tanh(x) if config.center_data else jax.nn.sigmoid(x)
        error = jnp.square(x - target).mean(axis=1)
        if config.log_loss:
            error = jnp.log(error + LOG_FLOOR)
        return error.mean(axis=(1, 2))


def autoencoder_objective(
    losses: jax.Array, batch: Batch, view: autoencoder.AutoencoderView
) -> Metrics:
    del batch, view  # the network has compared its output with the image already
    return {"loss": (losses.sum(), jnp.asarray(losses.size, jnp.float32))}


def normalize_autoencoder(loss: Scalar, view: autoencoder.AutoencoderView) -> jax.Array:
    """Apply the published ``10 + clip(ln L, -12, 1) / 2``; NaN and infinity count as e."""
    logarithm = loss if view.log_loss else jnp.log(loss + LOG_FLOOR)
    finite = jnp.where(jnp.isfinite(logarithm), logarithm, 1.0)
    return 10.0 + 0.5 * jnp.clip(finite, -12.0, 1.0)
