"""Word and token errors of networks that are trained with CTC, counted on the device.

Tokens are numbered as SentencePiece does: 0 is CTC's blank and the padding, 1 and 2 begin and end a
text.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from velodrome.taskgen.functions import Batch, Metrics
from velodrome.taskgen.nn import objectives
from velodrome.taskgen.views import AudioView

BLANK, FIRST = 0, 3
"""No token, and the first that is something that was said."""

_HASH = 1_000_003  # words are compared by a hash of 32 bits


def objective(outputs: tuple[jax.Array, jax.Array], batch: Batch, view: AudioView) -> Metrics:
    """Return the loss of `velodrome.taskgen.nn.objectives.ctc`, and the errors of greedy decoding.

    An error rate is the edit distance over all words, or tokens, of the batch. There is no beam
    and no language model. Words are counted if the view knows what stands between them.

    Args:
      outputs: Logits f32[B,T,V], and their padding f32[B,T].
      batch: With "label" i32[B,L] and "label_padding" f32[B,L].
    """
    found = dict(objectives.ctc(outputs, batch, view))
    logits, padding = outputs
    spoken, label = greedy(logits, padding), batch["label"]
    rates: dict[str, int | None] = {"token_error_rate": None}
    if view.separator:
        rates["word_error_rate"] = view.separator
    for name, separator in rates.items():
        heard = words(spoken, separator=separator)
        said, count = words(label, separator=separator)
        errors = edit_distance(*heard, said, count).sum().astype(jnp.float32)
        found[name] = errors, jnp.maximum(count.sum(), 1).astype(jnp.float32)
    return found


def greedy(logits: jax.Array, logit_padding: jax.Array) -> jax.Array:
    """Return i32[B,T]: the likeliest token of each frame, 0 where it is no new token."""
    best = jnp.argmax(logits, axis=-1).astype(jnp.int32)
    best = jnp.where(logit_padding > 0, BLANK, best)
    before = jnp.pad(best, ((0, 0), (1, 0)))[:, :-1]
    return jnp.where(best == before, BLANK, best)


def words(tokens: jax.Array, *, separator: int | None) -> tuple[jax.Array, jax.Array]:
    """Return the words in tokens i32[B,T], as numbers u32[B,T], and how many: i32[B].

    Equal words have equal numbers. Blanks, and what begins and ends a text, are skipped.

    Args:
      separator: The token between words; with None, every token is a word.
    """
    rows, most = jnp.arange(len(tokens), dtype=jnp.int32), tokens.shape[1]

    def step(state, token):
        found, count, inside = state
        apart = jnp.zeros_like(inside) if separator is None else token == separator
        letter = (token >= FIRST) & ~apart
        before = jnp.where(inside, found[rows, count - 1], jnp.uint32(0))
        count = count + (letter & ~inside).astype(jnp.int32)
        word = before * jnp.uint32(_HASH) + token.astype(jnp.uint32)
        found = found.at[rows, jnp.where(letter, count - 1, most)].set(word, mode="drop")
        inside = jnp.zeros_like(inside) if separator is None else (inside | letter) & ~apart
        return (found, count, inside), None

    start = (
        jnp.zeros(tokens.shape, jnp.uint32),
        jnp.zeros(len(tokens), jnp.int32),
        jnp.zeros(len(tokens), bool),
    )
    (found, count, _), _ = jax.lax.scan(step, start, tokens.T)
    return found, count


def edit_distance(
    one: jax.Array, one_count: jax.Array, other: jax.Array, other_count: jax.Array
) -> jax.Array:
    """Return the fewest insertions, deletions and substitutions between rows of words: i32[B].

    Args:
      one: u32[B,N], of which the first ``one_count`` i32[B] count.
      other: u32[B,M], likewise.
    """
    place = jnp.arange(other.shape[1] + 1, dtype=jnp.int32)[None]

    def step(distance, inputs):
        word, number = inputs
        different = (other != word[:, None]).astype(jnp.int32)
        substituted = distance[:, :-1] + different
        best = jnp.minimum(distance[:, 1:] + 1, substituted)
        best = jnp.concatenate([distance[:, :1] + 1, best], axis=1)
        # An insertion costs 1 for each place: a running minimum along the row.
        best = jax.lax.cummin(best - place, axis=1) + place
        return jnp.where((number < one_count)[:, None], best, distance), None

    start = jnp.broadcast_to(place, (len(other), place.shape[1]))
    numbers = jnp.arange(one.shape[1], dtype=jnp.int32)
    distance, _ = jax.lax.scan(step, start, (one.T, numbers))
    return jnp.take_along_axis(distance, other_count[:, None], axis=1)[:, 0]
