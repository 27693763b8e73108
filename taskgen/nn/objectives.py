"""Losses of tables with numbers to predict, of pairs, of recordings and of graphs.

Each is ``objective(outputs, batch, view)`` and returns {metric: (sum, count)}: the loss is a mean
over what counts, which masks and paddings say. A normaliser is 10 where a network guesses.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from velodrome.taskgen.functions import Batch, Metrics, Scalar
from velodrome.taskgen.nn.losses import PAD, Prediction, smoothed_cross_entropy
from velodrome.taskgen.views import AudioView, PairView, View


def regression(outputs: jax.Array, batch: Batch, view: View) -> Metrics:
    """Return the squared error, averaged over the targets of a row.

    Args:
      outputs: f32[B,targets].
      batch: With "target" f32[B,targets].
    """
    del view
    errors = jnp.square(outputs - batch["target"]).mean(axis=-1)
    return {"loss": (errors.sum(), jnp.asarray(errors.size, jnp.float32))}


def binary(logits: jax.Array, batch: Batch, view: View) -> Metrics:
    """Return the cross-entropy in nats of labels 0 and 1, and the accuracy.

    Args:
      logits: f32[B], or f32[B,1].
      batch: With "label" i32[B].
    """
    del view
    label = batch["label"]
    logits = logits.reshape(label.shape)
    return _binary(logits, label.astype(logits.dtype), jnp.ones_like(logits))


def binary_tasks(logits: jax.Array, batch: Batch, view: View) -> Metrics:
    """Return the cross-entropy in nats of several answers of yes or no, and the accuracy.

    Answers that are not known, with the weight 0, may be anything, NaN too.

    Args:
      logits: f32[B,tasks].
      batch: With "label" and "weight", both f32[B,tasks].
    """
    return smoothed_binary_tasks(Answers(logits, 0.0), batch, view)


class Answers(NamedTuple):
    """What a network answers about graphs.

    Attributes:
      logits: f32[B,tasks].
      smoothing: As for `Prediction`.
      counted: f32[B], 0 for graphs that count for nothing; None if all count.
    """

    logits: jax.Array
    smoothing: float
    counted: jax.Array | None = None


def smoothed_binary_tasks(answers: Answers, batch: Batch, view: View) -> Metrics:
    """Return what `binary_tasks` does, with labels y smoothed to (1 - a) y + a / tasks.

    The published workload smooths over its tasks as over classes: towards 1/128, not 1/2.
    """
    del view
    logits, smoothing, counted = answers
    weight = batch["weight"] if counted is None else batch["weight"] * counted[:, None]
    label = jnp.where(weight > 0, batch["label"], 0.0)
    if smoothing:
        label = (1 - smoothing) * label + smoothing / label.shape[-1]
    return _binary(logits, label, weight)


def _binary(logits: jax.Array, label: jax.Array, weight: jax.Array) -> Metrics:
    # log(1 + exp(z)) - y z, without overflow.
    losses = jnp.logaddexp(0.0, logits) - label * logits
    right = ((logits > 0) == (label > 0.5)).astype(jnp.float32)
    count = jnp.maximum(weight.sum(), 1.0)
    return {"loss": ((losses * weight).sum(), count), "accuracy": ((right * weight).sum(), count)}


def sequence(logits: jax.Array, batch: Batch, view: PairView) -> Metrics:
    """Return the cross-entropy in nats, and the accuracy, of the tokens of the target.

    Args:
      logits: f32[B,T,V].
      batch: With "target" i32[B,T]; 0 is padding.
    """
    return smoothed_sequence(Prediction(logits, 0.0), batch, view)


def smoothed_sequence(prediction: Prediction, batch: Batch, view: PairView) -> Metrics:
    """Return what `sequence` does, with the label smoothing of the `Prediction`."""
    del view
    target = batch["target"]
    mask = (target != PAD).astype(jnp.float32)
    right = (jnp.argmax(prediction.logits, axis=-1) == target).astype(jnp.float32)
    count = jnp.maximum(mask.sum(), 1.0)
    loss = (smoothed_cross_entropy(prediction, target) * mask).sum()
    return {"loss": (loss, count), "accuracy": ((right * mask).sum(), count)}


def ctc(outputs: tuple[jax.Array, jax.Array], batch: Batch, view: AudioView) -> Metrics:
    """Return the loss of connectionist temporal classification, in nats for each label.

    Args:
      outputs: Logits f32[B,T,V], and their padding f32[B,T].
      batch: With "label" i32[B,L] and "label_padding" f32[B,L].
    """
    del view
    logits, padding = outputs
    log_probabilities = jax.nn.log_softmax(logits)
    losses = optax.ctc_loss(log_probabilities, padding, batch["label"], batch["label_padding"])
    count = jnp.maximum((1.0 - batch["label_padding"]).sum(), 1.0)
    return {"loss": (losses.sum(), count)}


def normalize_regression(loss: Scalar, view: View) -> jax.Array:
    """Return ``10 min(L, 2)``: a target of variance 1 is guessed with a loss of 1."""
    del view
    return _by_guess(loss, 1.0)


def normalize_binary(loss: Scalar, view: View) -> jax.Array:
    """Return ``10 min(L / ln 2, 2)``."""
    del view
    return _by_guess(loss, jnp.log(2.0))


def normalize_sequence(loss: Scalar, view: PairView) -> jax.Array:
    """Return ``10 min(L / ln V, 2)``."""
    return _by_guess(loss, jnp.log(float(view.vocab_size)))


def normalize_ctc(loss: Scalar, view: AudioView) -> jax.Array:
    """Return ``10 min(L / ln V, 2)``, where L is the loss for each label."""
    return _by_guess(loss, jnp.log(float(view.vocab_size)))


def _by_guess(loss: Scalar, guess: Scalar) -> jax.Array:
    """Return 10 times the loss over that of a guess, at most 20; so for NaN and infinity."""
    finite = jnp.where(jnp.isfinite(loss), loss, 2.0 * guess)
    return 10.0 * jnp.clip(finite / guess, 0.0, 2.0)
