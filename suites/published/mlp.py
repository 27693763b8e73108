"""The published MLP classifiers of images (``ImageMLP_*`` of google/learned_optimization)."""

from __future__ import annotations

from typing import Any

from velodrome.taskgen.spec import DataSpec, TaskSpec

#: What all fixed tasks share: kernels are truncated normals, and the activation is a rectifier.
KERNEL = {"initializer": "truncated"}

_THREE = {"hidden_size": 128, "num_layers": 3}
_TWO = {"hidden_size": 128, "num_layers": 2}
_WIDE = {"hidden_size": 256, "num_layers": 3}
_SMALL = {"hidden_size": 32, "num_layers": 1}


def tasks() -> dict[str, TaskSpec]:
    """Returns the specs by published name.

    Dense layers with biases on the flattened image, in [0, 1]; normalisation and dropout act on
    what comes into an activation, never on the logits.
    """
    made: dict[str, TaskSpec] = {}

    def add(name: str, data: str, size: int, batch_size: int, config: dict[str, Any]) -> None:
        config = {"image_size": size, **KERNEL, **config}
        made[name] = TaskSpec("mlp", config, DataSpec(data), batch_size, name=name)

    add("ImageMLP_Cifar100_128x128x128_Relu", "cifar100", 32, 128, _THREE)
    for rate in (2, 5, 8):
        name = f"ImageMLP_Cifar10_128x128_Dropout0{rate}_Relu_MSE"
        add(name, "cifar10", 32, 128, {**_TWO, "dropout": rate / 10, "loss": "mse"})
    for label, norm in (("BatchNorm", "batch_norm"), ("LayerNorm", "layer_norm")):
        for activation in ("Relu", "Tanh"):
            name = f"ImageMLP_Cifar10_128x128x128_{label}_{activation}"
            chosen = {"normalization": norm, "activation": activation.lower()}
            add(name, "cifar10", 32, 128, {**_THREE, **chosen})
    add("ImageMLP_Cifar10_128x128x128_Relu", "cifar10", 32, 128, _THREE)
    add("ImageMLP_Cifar10_128x128x128_Relu_MSE", "cifar10", 32, 128, {**_THREE, "loss": "mse"})
    for batch_size in (128, 256, 64):
        name = f"ImageMLP_Cifar10_128x128x128_Tanh_bs{batch_size}"
        add(name, "cifar10", 32, batch_size, {**_THREE, "activation": "tanh"})
    for width in (256, 1024, 4096, 8192):
        name = f"ImageMLP_Cifar10_{width}x{width}_Relu"
        add(name, "cifar10", 32, 128, {"hidden_size": width, "num_layers": 2})
    add("ImageMLP_Cifar10_8_Relu32", "cifar10", 8, 128, _SMALL)
    add("ImageMLP_FashionMnist8_Relu32", "fashion_mnist", 8, 128, _SMALL)
    add("ImageMLP_FashionMnist_Relu128x128", "fashion_mnist", 28, 128, _TWO)
    add("ImageMLP_Imagenet16_Relu256x256x256", "imagenet16", 16, 128, _WIDE)
    add("ImageMLP_Mnist_128x128x128_Relu", "mnist", 28, 128, _THREE)
    return made
