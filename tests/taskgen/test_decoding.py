"""Greedy decoding and beam search, against all sequences of a small language."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from velodrome.taskgen.nn.decoding import beam_search, greedy

WORDS, LENGTH, END = 4, 4, 2


@pytest.fixture(scope="module")
def language() -> np.ndarray:
    """Logits f32[N, LENGTH, WORDS, WORDS] of a word after another one, at each time."""
    return np.random.default_rng(0).normal(0, 1.5, (3, LENGTH, WORDS, WORDS)).astype(np.float32)


def step(memory, token, time):
    """The memory is the language of a sequence and the sum of its words, which must be its own."""
    logits, total = memory
    at = jax.lax.dynamic_index_in_dim(logits, time, axis=1, keepdims=False)
    return at[jnp.arange(len(token)), token] + 0.1 * jnp.sin(total + token)[:, None] * jnp.arange(
        4.0
    )[None], (logits, total + token)


def log_probability(language: np.ndarray, words: tuple[int, ...]) -> float:
    before, total, found = 0, 0.0, 0.0
    for time, word in enumerate(words):
        logits = language[time, before] + 0.1 * np.sin(total + before) * np.arange(4)
        found += logits[word] - np.log(np.exp(logits).sum())
        total += before
        before = word
    return found


def sentences() -> list[tuple[int, ...]]:
    """Return all sequences that end, at most LENGTH long."""
    others = [word for word in range(WORDS) if word != END]
    return [
        (*words, END)
        for count in range(LENGTH)
        for words in itertools.product(others, repeat=count)
    ]


def memory(language: np.ndarray):
    return jnp.asarray(language), jnp.zeros(len(language))


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_wide_beams_find_the_best_sentence(language, alpha):
    found = jax.jit(
        lambda memory: beam_search(
            step, memory, count=3, length=LENGTH, end=END, beams=40, alpha=alpha
        )
    )(memory(language))
    for one, words in zip(language, found, strict=True):
        scored = {
            sentence: log_probability(one, sentence) / ((5 + len(sentence)) / 6) ** alpha
            for sentence in sentences()
        }
        best = max(scored, key=lambda sentence: scored[sentence])
        assert tuple(words.tolist()) == (*best, *(0,) * (LENGTH - len(best)))


def test_greedy_takes_the_likeliest_word(language):
    taken = greedy(step, memory(language), count=3, length=LENGTH, end=END)
    for one, words in zip(language, taken.tolist(), strict=True):
        by_hand, before, total = [], 0, 0.0
        while len(by_hand) < LENGTH and (not by_hand or by_hand[-1] != END):
            logits = one[len(by_hand), before] + 0.1 * np.sin(total + before) * np.arange(4)
            total += before
            before = int(np.argmax(logits))
            by_hand.append(before)
        assert words == by_hand + [0] * (LENGTH - len(by_hand))


def test_what_never_ends_is_returned_whole():
    logits = np.zeros((1, LENGTH, WORDS, WORDS), np.float32)
    logits[..., 3] = 5.0
    logits[..., END] = -1e9
    for search in (greedy, beam_search):
        found = search(step, memory(logits), count=1, length=LENGTH, end=END)
        assert found.tolist() == [[3] * LENGTH]
