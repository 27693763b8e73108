"""The published transformer language models (``TransformerLM_*`` of google/learned_optimization).

Keys are 32 wide whatever the model's width is, and there is no positional encoding.
"""

from __future__ import annotations

from velodrome.taskgen.spec import DataSpec, TaskSpec

VOCABULARY = 32_100
"""T5's pieces and its extra ids."""

# Name, model width, heads, layers, tokens in a sequence, batch size, dropout.
_TASKS = (
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


def tasks() -> dict[str, TaskSpec]:
    """Returns the specs by published name.

    The kernels in the blocks have variance ``2 / (layers * fan_in)``; the loss is the mean over
    the tokens whose input is not padding, and padding is not attended to.
    """
    made = {}
    for short, width, heads, layers, length, batch_size, dropout in _TASKS:
        name = f"TransformerLM_LM1B_{short}"
        config = {
            "d_model_per_head": width // heads,
            "num_heads": heads,
            "key_size": 32,
            "num_layers": layers,
            "sequence_length": length,
            "vocab_size": VOCABULARY,
            "dropout": dropout,
            "init_scale": 2.0,
        }
        made[name] = TaskSpec("transformer", config, DataSpec("lm1b_32k"), batch_size, name=name)
    return made
