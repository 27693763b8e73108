"""The published tasks without gradients (``ESWrapped_*`` of google/learned_optimization)."""

from __future__ import annotations

from typing import Any

from velodrome.taskgen.spec import DataSpec, TaskSpec

BATCH_SIZE = 128
STD = 0.01

_WIDE = {"hidden_size": 128, "num_layers": 3}
_SMALL = {"hidden_size": 32, "num_layers": 1, "image_size": 8}

# Name of the MLP, its data and config.
_CIFAR10 = ("ImageMLP_Cifar10_128x128x128_Relu", "cifar10", {**_WIDE, "image_size": 32})
_MNIST = ("ImageMLP_Mnist_128x128x128_Relu", "mnist", {**_WIDE, "image_size": 28})
_CIFAR10_GREY = ("ImageMLP_Cifar10BW8_Relu32", "cifar10", {**_SMALL, "grey": True})
_FASHION = ("ImageMLP_FashionMnist8_Relu32", "fashion_mnist", _SMALL)

_TASKS: tuple[tuple[int, tuple[str, str, dict[str, Any]]], ...] = (
    (1, _CIFAR10),
    (1, _CIFAR10_GREY),
    (1, _FASHION),
    (1, _MNIST),
    (8, _CIFAR10),
    (8, _MNIST),
)


def tasks() -> dict[str, TaskSpec]:
    """Returns the specs by published name.

    Gradients are antithetic estimates with a standard deviation of 0.01; losses are the plain
    ones, of the unperturbed parameters.
    """
    made = {}
    for pairs, (base, data, network) in _TASKS:
        name = f"ESWrapped_{pairs}pair_{base}"
        config = {
            **network,
            "activation": "relu",
            "initializer": "truncated",
            "pairs": pairs,
            "std": STD,
        }
        made[name] = TaskSpec("es_wrapped", config, DataSpec(data), BATCH_SIZE, name=name)
    return made
