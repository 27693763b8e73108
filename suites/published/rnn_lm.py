"""The published recurrent language models (``RNNLM_*`` of google/learned_optimization)."""

from __future__ import annotations

from velodrome.taskgen.spec import DataSpec, TaskSpec

BATCH_SIZE = 128

# Data set, length, cell, hidden units; the embedding is half as wide.
_TASKS = (
    ("lm1b", "32k", 32, "IRNN", 256),
    ("lm1b", "32k", 32, "LSTM", 256),
    ("lm1b", "32k", 32, "VanillaRNN", 256),
    ("lm1b", "bytes", 128, "LSTM", 128),
    ("lm1b", "bytes", 32, "GRU", 128),
    ("lm1b", "bytes", 32, "GRU", 256),
    ("lm1b", "bytes", 32, "IRNN", 128),
    ("lm1b", "bytes", 32, "LSTM", 128),
    ("lm1b", "bytes", 32, "LSTM", 256),
    ("lm1b", "bytes", 32, "VanillaRNN", 128),
    ("wikipediaen", "32k", 32, "GRU", 256),
    ("wikipediaen", "32k", 32, "LSTM", 256),
    ("wikipediaen", "bytes", 32, "GRU", 256),
    ("wikipediaen", "bytes", 32, "LSTM", 256),
)

_CELLS = {"IRNN": "irnn", "LSTM": "lstm", "VanillaRNN": "vanilla", "GRU": "gru"}
_DATA = {"lm1b": "lm1b", "wikipediaen": "wikipedia"}

VOCABULARIES = {"bytes": 259, "32k": 32_100}
"""Sizes of the vocabularies: bytes after three special ids; T5's pieces and its extra ids."""


def tasks() -> dict[str, TaskSpec]:
    """Returns the specs by published name.

    One recurrent layer with a learned initial state between an embedding and a linear output;
    the loss is the mean over the tokens whose input is not padding.
    """
    made = {}
    for corpus, vocabulary, length, cell, units in _TASKS:
        name = f"RNNLM_{corpus}{vocabulary}_Patch{length}_{cell}{units}_Embed{units // 2}"
        config = {
            "cell": _CELLS[cell],
            "rnn_size": units,
            "embed_size": units // 2,
            "sequence_length": length,
            "vocab_size": VOCABULARIES[vocabulary],
            "initializer": "truncated",
            "initial_rows": True,
        }
        data = DataSpec(f"{_DATA[corpus]}_{vocabulary}")
        made[name] = TaskSpec("rnn", config, data, BATCH_SIZE, name=name)
    return made
