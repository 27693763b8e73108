"""The published language models: recurrent networks and transformers."""

from __future__ import annotations

from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

#: Sizes of the vocabularies: bytes after three special ids; T5's pieces and its extra ids.
VOCABULARIES = {"bytes": 259, "32k": 32_100}

# Corpus, vocabulary, length, cell, hidden units; the embedding is half as wide.
_RECURRENT = (
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
_CORPORA = {"lm1b": "lm1b", "wikipediaen": "wikipedia"}


def rnn_lm() -> dict[str, TaskSpec]:
    """Return the recurrent language models ``RNNLM_*``.

    One recurrent layer with a learned initial state between an embedding and a linear output;
    the loss is the mean over the tokens whose input is not padding.
    """
    made = {}
    for corpus, vocabulary, length, cell, units in _RECURRENT:
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
        data = DataSpec(f"{_CORPORA[corpus]}_{vocabulary}")
        made[name] = TaskSpec("rnn", config, data, 128, name=name)
    return made


# Name, model width, heads, layers, tokens in a sequence, batch size, dropout.
_TRANSFORMERS = (
    ("5layer_32width", 32, 8, 5, 128, 32, 0.1),
    ("5layer_128width", 128, 8, 5, 128, 32, 0.1),
    ("5layer_256width", 256, 8, 5, 128, 32, 0.1),
    ("5layer_512width", 512, 8, 5, 128, 32, 0.1),
    ("MultiRuntime_0", 20, 5, 1, 8, 4, 0.1),
    ("MultiRuntime_1", 24, 6, 1, 8, 4, 0.1),
    ("MultiRuntime_2", 32, 4, 2, 8, 8, 0.0),
    ("MultiRuntime_3", 32, 4, 1, 16, 8, 0.0),
    ("MultiRuntime_4", 32, 4, 2, 4, 16, 0.0),
    ("MultiRuntime_5", 32, 4, 1, 32, 8, 0.0),
    ("MultiRuntime_6", 80, 5, 1, 64, 4, 0.0),
    ("MultiRuntime_7", 112, 7, 3, 32, 16, 0.0),
    ("MultiRuntime_8", 128, 4, 1, 32, 64, 0.0),
    ("MultiRuntime_9", 256, 4, 2, 64, 64, 0.0),
    ("MultiRuntime_10", 256, 4, 3, 64, 128, 0.0),
    ("MultiRuntime_11", 304, 19, 2, 32, 256, 0.0),
)


def transformer_lm() -> dict[str, TaskSpec]:
    """Return the transformer language models ``TransformerLM_*``.

    Keys are 32 wide whatever the width of the model, and there is no positional encoding. The
    kernels in the blocks have variance ``2 / (layers * fan_in)``; the loss is the mean over the
    tokens whose input is not padding, and padding is not attended to.
    """
    made = {}
    for short, width, heads, layers, length, batch_size, dropout in _TRANSFORMERS:
        name = f"TransformerLM_LM1B_{short}"
        config = {
            "d_model_per_head": width // heads,
            "num_heads": heads,
            "key_size": 32,
            "num_layers": layers,
            "sequence_length": length,
            "vocab_size": VOCABULARIES["32k"],
            "dropout": dropout,
            "init_scale": 2.0,
        }
        made[name] = TaskSpec("transformer", config, DataSpec("lm1b_32k"), batch_size, name=name)
    return made
