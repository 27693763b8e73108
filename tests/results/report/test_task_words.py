"""What a task is, in a few words."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from velodrome.results.report.task_words import network_size, task_words


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"num_layers": 3, "hidden_size": 32, "image_size": 8}, "3x32"),
        ({"hidden_size": 32}, "32"),
        ({"num_layers": 0, "hidden_size": 7}, "7"),
        ({"rnn_size": 24, "cell": "gru"}, "24"),
        ({"num_layers": 2, "d_model_per_head": 11, "num_heads": 2}, "2x22"),
        ({"num_heads": 2}, ""),  # only the half of a width
        ({"units": 5}, ""),
        ({"hidden_size": "wide"}, ""),
    ],
)
def test_the_size_of_a_network(config, size):
    assert network_size(config) == size


def test_a_task_in_words_also_where_the_store_has_no_spec():
    spec = {"family": "mlp", "config": {"num_layers": 3, "hidden_size": 32}}
    row = {"family": "mlp", "data": "digits", "parameters": 1786, "batch_size": 65}
    specs = pd.DataFrame(
        [
            {**row, "index": 0, "spec": json.dumps(spec)},
            {**row, "index": 4, "spec": "", "batch_size": float("nan")},
        ]
    )
    words = task_words(specs)
    assert words[0].what == "mlp 3x32 digits"
    assert (words[0].parameters, words[0].batch_size) == (1786.0, 65.0)
    assert words[4].what == "mlp digits" and words[4].batch_size != words[4].batch_size
