"""The published MLP-Mixers (``MLPMixer_*`` of google/learned_optimization)."""

from __future__ import annotations

from velodrome.suites.published.vit import DATA, PATCH_SIZE
from velodrome.taskgen.spec import DataSpec, TaskSpec

_SHAPES = {
    "tiny16": {"num_layers": 5, "hidden_size": 512, "channels_mlp_dim": 2048},
    "small16": {"num_layers": 8, "hidden_size": 768, "channels_mlp_dim": 3072},
}

# Name of the size, the network's shape, and the batch size.
_VARIANTS = (
    ("bs256_tiny16", "tiny16", 256),
    ("small16", "small16", 128),
    ("tiny16", "tiny16", 128),
)


def tasks() -> dict[str, TaskSpec]:
    """Returns the specs by published name.

    The last layer starts at zero, so that the first loss is the logarithm of the number of
    classes.
    """
    made = {}
    for label, (data, size) in DATA.items():
        for variant, shape, batch_size in _VARIANTS:
            name = f"MLPMixer_{label}_{variant}"
            config = {
                "image_size": size,
                "patch_size": PATCH_SIZE,
                "tokens_mlp_dim": 384,
                **_SHAPES[shape],
            }
            made[name] = TaskSpec("mlp_mixer", config, DataSpec(data), batch_size, name=name)
    return made
