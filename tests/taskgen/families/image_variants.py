"""Small tasks of the image families and of what fixed tasks need besides."""

from __future__ import annotations

from small_tasks import quick, random_batch

import velodrome
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

RESNET = {
    "base_channels": 4,
    "channel_pattern": "1-1-1-1",
    "stem_channels": 4,
    "image_size": 9,
    "blocks_2": 2,
}
VIT = {"num_layers": 1, "num_heads": 2, "head_dim": 4, "mlp_dim": 8, "patch_size": 4}
VARIANTS = {
    "autoencoder": ("autoencoder", {"hidden_size": 6, "bottleneck_size": 3, "num_layers": 3}),
    "autoencoder-log": (
        "autoencoder",
        {"hidden_size": 6, "log_loss": True, "center_data": True, "activation": "tanh"},
    ),
    "resnet-v1": ("resnet", RESNET),
    "resnet-v2": ("resnet", {**RESNET, "version": "v2", "max_pool": False}),
    "vit": ("vit", {**VIT, "image_size": 8, "dropout": 0.3, "attention_dropout": 0.2}),
    "mlp_mixer": ("mlp_mixer", {"hidden_size": 6, "tokens_mlp_dim": 5, "channels_mlp_dim": 7}),
    "mlp-batch_norm": ("mlp", {"hidden_size": 6, "normalization": "batch_norm"}),
    "mlp-layer_norm": ("mlp", {"hidden_size": 6, "normalization": "layer_norm", "grey": True}),
    "mlp-dropout": ("mlp", {"hidden_size": 6, "dropout": 0.5, "loss": "mse"}),
    "cnn-batch_norm": (
        "cnn",
        {"hidden_size": 6, "first_hidden_size": 3, "normalization": "batch_norm"},
    ),
    "cnn-layer_norm": ("cnn", {"hidden_size": 6, "normalization": "layer_norm"}),
}


def variant(name: str, *, batch_size: int = 8, data: str = "photos", **changes) -> TaskSpec:
    family, config = VARIANTS[name]
    return TaskSpec(family, {**config, **changes}, DataSpec(data), batch_size)


def ready(spec, key):
    """Return the task of a spec, with parameters, state and a batch."""
    task = velodrome.build(spec)
    params, state = quick(task.init)(key)
    return task, params, state, random_batch(spec, key)
