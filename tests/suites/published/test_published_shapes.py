"""Parameter arrays have the axes of the originals where a learned optimizer sees a difference.

VeLO factors what has two axes or more, however short. Batch norm's scale and offset in haiku, which
the originals are written in, have all axes of its input; a learned initial state has a row.
"""

from __future__ import annotations

import jax
import pytest

from velodrome.suites.published.tasks import group_of, published_tasks
from velodrome.taskgen.build import build

TASKS = published_tasks()


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    params, _ = jax.eval_shape(build(TASKS[name]).init, jax.random.key(0))
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}


@pytest.mark.parametrize("name", [name for name in TASKS if group_of(name) == "rnn_lm"])
def test_initial_states_are_rows(name):
    states = [shape for path, shape in shapes(name).items() if "initial" in path]
    cell = TASKS[name].config.cell
    assert states == [(1, TASKS[name].config.rnn_size)] * (2 if cell == "lstm" else 1)


@pytest.mark.parametrize(
    ("name", "norms", "axes"),
    [
        # Three norms a block, and one at the end.
        ("Resnet_MultiRuntime_0", None, 4),
        ("Conv_Cifar10_32x64x64_batchnorm", 3, 4),
        ("ImageMLP_Cifar10_128x128x128_BatchNorm_Relu", 3, 2),
        ("ImageMLP_Cifar10_128x128x128_BatchNorm_Tanh", 3, 2),
    ],
)
def test_batch_norms_have_the_axes_of_their_input(name, norms, axes):
    found = [shape for path, shape in shapes(name).items() if "norm" in path]
    config = TASKS[name].config
    if norms is None:
        norms = 3 * sum(getattr(config, f"blocks_{group}") for group in (1, 2, 3, 4)) + 1
    assert len(found) == 2 * norms
    assert all(len(shape) == axes and set(shape[:-1]) == {1} for shape in found)


def test_layer_norms_are_vectors():
    found = shapes("ImageMLP_Cifar10_128x128x128_LayerNorm_Relu")
    assert [len(shape) for path, shape in found.items() if "norm" in path] == [1] * 6
