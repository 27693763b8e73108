"""The published vision transformers (``VIT_*`` of google/learned_optimization)."""

from __future__ import annotations

from velodrome.taskgen.spec import DataSpec, TaskSpec

BATCH_SIZE = 128
PATCH_SIZE = 16

DATA = {
    "Cifar100": ("cifar100", 32),
    "Food101_64": ("food101_64", 64),
    "ImageNet64": ("imagenet64", 64),
}
"""Data set and its image size, by what names of tasks call it; the mixers use the same."""

_SHAPES = {
    "skinnydeep": {"num_layers": 10, "num_heads": 4, "head_dim": 32, "mlp_dim": 512},
    "wideshallow": {"num_layers": 6, "num_heads": 6, "head_dim": 64, "mlp_dim": 1536},
}


def tasks() -> dict[str, TaskSpec]:
    """Returns the specs by published name.

    No dropout; the last layer starts at zero, so that the first loss is the logarithm of the
    number of classes.
    """
    made = {}
    for label, (data, size) in DATA.items():
        for shape, network in _SHAPES.items():
            name = f"VIT_{label}_{shape}"
            config = {"image_size": size, "patch_size": PATCH_SIZE, **network}
            made[name] = TaskSpec("vit", config, DataSpec(data), BATCH_SIZE, name=name)
    return made
