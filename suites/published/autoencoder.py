"""The published autoencoders of images (``ImageMLPAE_*`` of google/learned_optimization)."""

from __future__ import annotations

from velodrome.suites.published.mlp import KERNEL
from velodrome.taskgen.spec import DataSpec, TaskSpec

# Published name of the data, data set, its size, width of the first and last hidden layer, width
# of the middle one, and batch size.
_TASKS = (
    ("Cifar10", "cifar10", 32, 128, 32, 256),
    ("Cifar10", "cifar10", 32, 256, 256, 1024),
    ("Cifar10", "cifar10", 32, 256, 256, 128),
    ("Cifar10", "cifar10", 32, 32, 32, 128),
    ("FashionMnist", "fashion_mnist", 28, 128, 32, 128),
    ("Mnist", "mnist", 28, 128, 32, 128),
)


def tasks() -> dict[str, TaskSpec]:
    """Returns the specs by published name.

    Three hidden layers with rectifiers, a sigmoid at the end, and the squared difference to the
    image in [0, 1], averaged over pixels and batch.
    """
    made = {}
    for label, data, size, outer, middle, batch_size in _TASKS:
        name = f"ImageMLPAE_{label}_{outer}x{middle}x{outer}_bs{batch_size}"
        config = {
            "hidden_size": outer,
            "bottleneck_size": 0 if middle == outer else middle,
            "num_layers": 3,
            "image_size": size,
            "constrain_output": True,
            **KERNEL,
        }
        made[name] = TaskSpec("autoencoder", config, DataSpec(data), batch_size, name=name)
    return made
