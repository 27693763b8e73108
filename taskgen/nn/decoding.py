"""Make sequences token by token: the likeliest token each time, or beam search. Shapes are static.

A *step* is ``step(memory, token, time)``: given the tokens i32[N] at the time before, it returns
logits f32[N,V] of those at ``time``, and the memory with them in it. A memory is a pytree of arrays
whose first axis is N.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from velodrome.taskgen.nn.losses import PAD

Memory = TypeVar("Memory", bound=PyTree)
Step = Callable[[Memory, jax.Array, jax.Array], tuple[jax.Array, Memory]]

_NEVER = -1e9


def greedy(step: Step[Memory], memory: Memory, *, count: int, length: int, end: int) -> jax.Array:
    """Take the likeliest token each time, until ``end``.

    Args:
      count: N, the number of sequences.
      length: T, the most tokens of a sequence.
      end: The token after which only padding follows.

    Returns:
      i32[N,T].
    """

    def advance(carry: tuple[Memory, jax.Array, jax.Array], time: jax.Array):
        memory, token, done = carry
        logits, memory = step(memory, token, time)
        chosen = jnp.where(done, PAD, jnp.argmax(logits, axis=-1)).astype(jnp.int32)
        return (memory, chosen, done | (chosen == end)), chosen

    start = (memory, jnp.full((count,), PAD, jnp.int32), jnp.zeros((count,), bool))
    _, tokens = jax.lax.scan(advance, start, jnp.arange(length, dtype=jnp.int32))
    return tokens.T


class _Beams(NamedTuple):
    """The search so far, for N sequences with K beams each.

    Attributes:
      time: How many tokens the beams that go on have.
      live: Log-probabilities f32[N,K] of the beams that go on.
      tokens: What they are, i32[N,K,T].
      scores: Scores f32[N,K] of the best beams that have ended.
      ended: What they are, i32[N,K,T].
      memory: Of the beams that go on, with first axis N*K.
    """

    time: jax.Array
    live: jax.Array
    tokens: jax.Array
    scores: jax.Array
    ended: jax.Array
    memory: PyTree


def beam_search(
    step: Step[Memory],
    memory: Memory,
    *,
    count: int,
    length: int,
    end: int,
    beams: int = 4,
    alpha: float = 0.6,
) -> jax.Array:
    """Search for the sequence with the best log-probability over ``((5 + tokens) / 6)^alpha``.

    Each time, the best beams that have not ended go on (Wu et al. 2016, arXiv 1609.08144, has the
    length penalty). The search stops when no beam can overtake the worst of as many that have
    ended. If none ends, the best that does not is returned.

    Args:
      memory: With first axis N, as for `greedy`; it is repeated for the beams.
      count: N, the number of sequences.
      length: T, the most tokens of a sequence, with the end.
      end: The token that ends a sequence; only padding follows.
      beams: K.
      alpha: 0 is no penalty.

    Returns:
      i32[N,T].
    """
    rows = jnp.arange(count)[:, None]

    def penalty(tokens: jax.Array | int) -> jax.Array:
        return ((5.0 + jnp.asarray(tokens, jnp.float32)) / 6.0) ** alpha

    def unfinished(state: _Beams) -> jax.Array:
        best = state.live[:, 0] / penalty(length)
        return (state.time < length) & (best > state.scores.min(axis=1)).any()

    def advance(state: _Beams) -> _Beams:
        before = jnp.maximum(state.time - 1, 0)
        token = jnp.where(state.time > 0, state.tokens[:, :, before], PAD).reshape(-1)
        logits, memory = step(state.memory, token, state.time)
        vocabulary = logits.shape[-1]
        added = jax.nn.log_softmax(logits).reshape(count, beams, vocabulary)
        candidates = (state.live[:, :, None] + added).reshape(count, -1)
        # Twice as many: at most one continuation of each beam ends it.
        found, at = jax.lax.top_k(candidates, 2 * beams)
        beam, chosen = at // vocabulary, (at % vocabulary).astype(jnp.int32)
        tokens = state.tokens[rows, beam].at[:, :, state.time].set(chosen)
        ends = chosen == end

        live, kept = jax.lax.top_k(jnp.where(ends, _NEVER, found), beams)
        sources = (rows * beams + beam[rows, kept]).reshape(-1)
        scored = jnp.where(ends, found / penalty(state.time + 1), _NEVER)
        scores, best = jax.lax.top_k(jnp.concatenate([state.scores, scored], axis=1), beams)
        return _Beams(
            time=state.time + 1,
            live=live,
            tokens=tokens[rows, kept],
            scores=scores,
            ended=jnp.concatenate([state.ended, tokens], axis=1)[rows, best],
            memory=jax.tree.map(lambda array: array[sources], memory),
        )

    nothing = jnp.full((count, beams, length), PAD, jnp.int32)
    state = jax.lax.while_loop(
        unfinished,
        advance,
        _Beams(
            time=jnp.int32(0),
            # All beams are alike at first: only one of them counts.
            live=jnp.full((count, beams), _NEVER, jnp.float32).at[:, 0].set(0.0),
            tokens=nothing,
            scores=jnp.full((count, beams), _NEVER, jnp.float32),
            ended=nothing,
            memory=jax.tree.map(lambda array: jnp.repeat(array, beams, axis=0), memory),
        ),
    )
    has_ended = state.scores[:, 0] > _NEVER / 2
    return jnp.where(has_ended[:, None], state.ended[:, 0], state.tokens[:, 0])
