"""Losses, their metrics, and the published loss normalisers.

"Published" are the tasks of Metz et al. 2022 (arXiv 2211.09760). A normaliser makes losses of
different tasks comparable: about 10 where a network is no better than a guess.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from velodrome.taskgen.functions import Batch, Metrics, Scalar
from velodrome.taskgen.views import ImageView, TableView, TextView

PAD = 0
"""The token that is no text: it is neither predicted from nor attended to."""


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return minus the log-probability of each label, in nats: f32[...].

    Args:
      logits: f32[..., C].
      labels: i32[...], from 0 to C-1.
    """
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_probabilities, labels[..., None], axis=-1)[..., 0]


def classification(logits: jax.Array, batch: Batch, view: ImageView | TableView) -> Metrics:
    """Return the softmax cross-entropy in nats, and the accuracy, as {metric: (sum, count)}.

    Args:
      logits: f32[B,C].
      batch: With "label" i32[B].
      view: Not needed: the logits have its classes.
    """
    del view
    labels = batch["label"]
    return _image_metrics(cross_entropy(logits, labels), logits, labels)


class Prediction(NamedTuple):
    """What a network predicts, and how its labels are softened while training.

    Attributes:
      logits: f32[..., C].
      smoothing: The part of a label that is spread over all C classes: 0 in evaluation.
      own: The part f32[] of its own label that each example has; the rest is that of the example
        before it, as `mix_images` mixes. None where nothing was mixed.
    """

    logits: jax.Array
    smoothing: float
    own: jax.Array | None = None


def smoothed_cross_entropy(prediction: Prediction, labels: jax.Array) -> jax.Array:
    """Return the cross-entropy f32[...] of labels i32[...], softened as the prediction says."""
    logits, smoothing, own = prediction
    if not smoothing and own is None:
        return cross_entropy(logits, labels)
    log_probabilities = jax.nn.log_softmax(logits)

    def of(labels: jax.Array) -> jax.Array:
        return jnp.take_along_axis(log_probabilities, labels[..., None], axis=-1)[..., 0]

    picked = of(labels)
    if own is not None:
        picked = own * picked + (1 - own) * of(jnp.roll(labels, 1, axis=0))
    if not smoothing:
        return -picked
    return -((1 - smoothing) * picked + smoothing * log_probabilities.mean(axis=-1))


def smoothed_classification(prediction: Prediction, batch: Batch, view: ImageView) -> Metrics:
    """Return what `classification` does, with the smoothing of the `Prediction`."""
    del view
    labels = batch["label"]
    losses = smoothed_cross_entropy(prediction, labels)
    return _image_metrics(losses, prediction.logits, labels)


def one_hot_regression(outputs: jax.Array, batch: Batch, view: ImageView) -> Metrics:
    """Return the squared difference to one-hot labels, averaged over the classes, and accuracy.

    Shapes are those of `classification`; there is no softmax.
    """
    labels = batch["label"]
    target = jax.nn.one_hot(labels, view.num_classes, dtype=outputs.dtype)
    return _image_metrics(jnp.square(outputs - target).mean(axis=-1), outputs, labels)


def _image_metrics(losses: jax.Array, outputs: jax.Array, labels: jax.Array) -> Metrics:
    count = jnp.asarray(labels.size, jnp.float32)
    return {"loss": (losses.sum(), count), "accuracy": (_correct(outputs, labels).sum(), count)}


def language_model(logits: jax.Array, batch: Batch, view: TextView) -> Metrics:
    """Return cross-entropy in nats, and accuracy, of the next token where there is no padding.

    Args:
      logits: f32[B,T,V].
      batch: With "obs" and "target", both i32[B,T].
      view: Its ``vocab_size`` is V, which targets are folded into.
    """
    mask = (batch["obs"] != PAD).astype(jnp.float32)
    target = fold_tokens(batch["target"], view.vocab_size)
    # A batch of nothing but padding has loss zero, not 0/0.
    count = jnp.maximum(mask.sum(), 1.0)
    return {
        "loss": ((cross_entropy(logits, target) * mask).sum(), count),
        "accuracy": ((_correct(logits, target) * mask).sum(), count),
    }


def _correct(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Return f32[...], 1 where the largest of f32[..., C] is that of the label."""
    return (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)


def fold_tokens(tokens: jax.Array, vocab_size: int) -> jax.Array:
    """Map tokens i32[...] into a vocabulary: those from ``vocab_size`` on wrap to 1, 2, ...

    Token 0, the padding, stays itself. The published rule left the token ``vocab_size`` out,
    which then was in no class; here it wraps like the others.
    """
    return jnp.where(tokens < vocab_size, tokens, 1 + tokens % (vocab_size - 1))


def normalize_classification(loss: Scalar, view: ImageView | TableView) -> jax.Array:
    """Apply the published normaliser of image families with MLPs and convolutions; tables too."""
    return _normalize(loss, view.num_classes)


def normalize_one_hot_regression(loss: Scalar, view: ImageView) -> jax.Array:
    """Apply the published normaliser ``10 min(L, 1)``; NaN and infinity count as 1."""
    del view  # the mean over the classes does not grow with their number
    return 10.0 * jnp.minimum(jnp.where(jnp.isfinite(loss), loss, 1.0), 1.0)


def normalize_deep_classification(loss: Scalar, view: ImageView) -> jax.Array:
    """Apply the published normaliser of residual networks and of networks on patches.

    ``clip(10 L / ln 2C, 0, 10)``; NaN and infinity count as ``ln 2C``.
    """
    worst = jnp.log(2.0 * view.num_classes)
    finite = jnp.where(jnp.isfinite(loss), loss, worst)
    return jnp.clip(10.0 * finite / worst, 0.0, 10.0)


def normalize_language_model(loss: Scalar, view: TextView) -> jax.Array:
    """Apply the published normaliser of language models."""
    return _normalize(loss, view.vocab_size)


def _normalize(loss: Scalar, classes: int) -> jax.Array:
    """Return ``(clip(L, 0, ln 2C) - ln(C/5)) * 10 / ln C``; NaN and infinity count as ``ln 2C``.

    For a uniform guess, ``L = ln C``, it is ``10 ln 5 / ln C``: 7 for ten classes.
    """
    worst = jnp.log(2.0 * classes)
    finite = jnp.where(jnp.isfinite(loss), loss, worst)
    clipped = jnp.clip(finite, 0.0, worst)
    return (clipped - jnp.log(classes / 5.0)) * 10.0 / jnp.log(float(classes))
