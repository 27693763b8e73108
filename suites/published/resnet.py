"""The published residual networks (``Resnet_MultiRuntime_*`` of google/learned_optimization)."""

from __future__ import annotations

from velodrome.taskgen.families.resnet import GROUPS
from velodrome.taskgen.spec import DataSpec, TaskSpec

# By number: image size, batch size, blocks of the four groups, channels of the first group and
# their multiples, kernel of the first convolution, whether a maximum follows it.
_TASKS = (
    (16, 64, (1, 1, 1, 1), 8, "1-2-2-2", 3, True),
    (16, 64, (1, 1, 1, 1), 8, "1-2-2-4", 3, True),
    (16, 64, (1, 1, 1, 1), 64, "1-2-2-2", 3, True),
    (16, 192, (1, 1, 1, 1), 64, "1-2-4-8", 5, True),
    (16, 192, (1, 1, 1, 1), 128, "1-2-4-4", 5, True),
    (32, 128, (1, 1, 1, 1), 128, "1-2-4-4", 5, True),
    (32, 256, (1, 1, 1, 1), 128, "1-2-4-4", 3, True),
    (32, 256, (1, 1, 1, 1), 256, "1-2-2-4", 5, True),
    (64, 256, (1, 1, 1, 1), 256, "1-2-4-4", 3, True),
    (64, 256, (1, 2, 4, 5), 256, "1-2-4-4", 3, True),
    (64, 256, (1, 1, 3, 4), 256, "1-2-4-4", 5, False),
)


def tasks() -> dict[str, TaskSpec]:
    """Returns the specs by published name.

    Version 2 with bottlenecks on ImageNet, 64 channels before the first block, and a last layer
    that starts at zero: the first loss is ln 1000.
    """
    made = {}
    for number, (size, batch_size, blocks, base, pattern, kernel, pool) in enumerate(_TASKS):
        name = f"Resnet_MultiRuntime_{number}"
        config = {
            "version": "v2",
            **{f"blocks_{group}": count for group, count in zip(GROUPS, blocks, strict=True)},
            "base_channels": base,
            "channel_pattern": pattern,
            "stem_kernel": kernel,
            "stem_channels": 64,
            "max_pool": pool,
            "image_size": size,
        }
        data = DataSpec(f"imagenet{size}")
        made[name] = TaskSpec("resnet", config, data, batch_size, name=name)
    return made
