"""The published convolutional classifiers (``Conv_*`` of google/learned_optimization)."""

from __future__ import annotations

from typing import Any

from velodrome.suites.published.mlp import KERNEL
from velodrome.taskgen.spec import DataSpec, TaskSpec

BATCH_SIZE = 128

_NETWORK = {"first_hidden_size": 32, "hidden_size": 64, "num_layers": 3}
_WIDE = {"first_hidden_size": 64, "hidden_size": 128, "num_layers": 4}
_TANH = {"activation": "tanh"}

# Data set, image size, and the config besides.
_TASKS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "Conv_Cifar100_32x64x64": ("cifar100", 32, _NETWORK),
    "Conv_Cifar100_32x64x64_Tanh": ("cifar100", 32, {**_NETWORK, **_TANH}),
    "Conv_Cifar10_16_32x64x64": ("cifar10", 16, _NETWORK),
    "Conv_Cifar10_32x64x64": ("cifar10", 32, _NETWORK),
    "Conv_Cifar10_32x64x64_Tanh": ("cifar10", 32, {**_NETWORK, **_TANH}),
    "Conv_Cifar10_32x64x64_batchnorm": (
        "cifar10",
        32,
        {**_NETWORK, "normalization": "batch_norm"},
    ),
    "Conv_Cifar10_32x64x64_layernorm": (
        "cifar10",
        32,
        {**_NETWORK, "normalization": "layer_norm"},
    ),
    "Conv_imagenet16_16_64x128x128x128": ("imagenet16", 16, _WIDE),
    "Conv_imagenet32_16_32x64x64": ("imagenet32", 32, _NETWORK),  # 32 pixels, despite its name
}


def tasks() -> dict[str, TaskSpec]:
    """Returns the specs by published name.

    3x3 convolutions with biases, the first with stride 2; the normalisation, where there is one,
    comes after the activation; a global average and a linear map.
    """
    made = {}
    for name, (data, size, chosen) in _TASKS.items():
        config = {"image_size": size, "num_stride2": 1, **KERNEL, **chosen}
        made[name] = TaskSpec("cnn", config, DataSpec(data), BATCH_SIZE, name=name)
    return made
