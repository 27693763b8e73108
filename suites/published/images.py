"""The published tasks on images: MLPs, autoencoders, convolutional and residual nets, patches."""

from __future__ import annotations

from collections.abc import Mapping

from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.families.resnet import GROUPS
from velodrome.taskgen.spec import TaskSpec

#: Shared by the fixed tasks: kernels are truncated normals, and the activation is a rectifier.
KERNEL = {"initializer": "truncated"}

Config = Mapping[str, object]


def mlp() -> dict[str, TaskSpec]:
    """Return the classifiers ``ImageMLP_*``.

    Dense layers with biases on the flattened image, in [0, 1]; normalisation and dropout act on
    the input of an activation, never on the logits.
    """
    three = {"hidden_size": 128, "num_layers": 3}
    two = {"hidden_size": 128, "num_layers": 2}
    small = {"hidden_size": 32, "num_layers": 1}
    wide = {"hidden_size": 256, "num_layers": 3}
    made: dict[str, TaskSpec] = {}

    def add(name: str, data: str, size: int, config: Config, batch_size: int = 128) -> None:
        config = {"image_size": size, **KERNEL, **config}
        made[name] = TaskSpec("mlp", config, DataSpec(data), batch_size, name=name)

    add("ImageMLP_Cifar100_128x128x128_Relu", "cifar100", 32, three)
    for rate in (2, 5, 8):
        name = f"ImageMLP_Cifar10_128x128_Dropout0{rate}_Relu_MSE"
        add(name, "cifar10", 32, {**two, "dropout": rate / 10, "loss": "mse"})
    for label, norm in (("BatchNorm", "batch_norm"), ("LayerNorm", "layer_norm")):
        for activation in ("Relu", "Tanh"):
            name = f"ImageMLP_Cifar10_128x128x128_{label}_{activation}"
            chosen = {"normalization": norm, "activation": activation.lower()}
            add(name, "cifar10", 32, {**three, **chosen})
    add("ImageMLP_Cifar10_128x128x128_Relu", "cifar10", 32, three)
    add("ImageMLP_Cifar10_128x128x128_Relu_MSE", "cifar10", 32, {**three, "loss": "mse"})
    for batch_size in (128, 256, 64):
        name = f"ImageMLP_Cifar10_128x128x128_Tanh_bs{batch_size}"
        add(name, "cifar10", 32, {**three, "activation": "tanh"}, batch_size)
    for width in (256, 1024, 4096, 8192, 16_384):
        name = f"ImageMLP_Cifar10_{width}x{width}_Relu"
        add(name, "cifar10", 32, {"hidden_size": width, "num_layers": 2})
    add("ImageMLP_Cifar10_256x256_Relu_BS32", "cifar10", 32, {**two, "hidden_size": 256}, 32)
    add("ImageMLP_Cifar10_8_Relu32", "cifar10", 8, small)
    add("ImageMLP_Cifar10BW8_Relu32", "cifar10", 8, {**small, "grey": True})
    for size in (8, 16, 32):
        add(f"ImageMLP_FashionMnist{size}_Relu32", "fashion_mnist", size, small)
    add("ImageMLP_FashionMnist_Relu128x128", "fashion_mnist", 28, two)
    add("ImageMLP_Imagenet16_Relu256x256x256", "imagenet16", 16, wide)
    add("ImageMLP_Mnist_128x128x128_Relu", "mnist", 28, three)
    return made


# Published name of the data, data set, its size, width of the first and last hidden layer, width
# of the middle one, and batch size.
_AUTOENCODERS = (
    ("Cifar10", "cifar10", 32, 128, 32, 256),
    ("Cifar10", "cifar10", 32, 256, 256, 1024),
    ("Cifar10", "cifar10", 32, 256, 256, 128),
    ("Cifar10", "cifar10", 32, 32, 32, 128),
    ("FashionMnist", "fashion_mnist", 28, 128, 32, 128),
    ("Mnist", "mnist", 28, 128, 32, 128),
)


def autoencoder() -> dict[str, TaskSpec]:
    """Return the autoencoders ``ImageMLPAE_*``.

    Three hidden layers with rectifiers, a sigmoid at the end, and the squared difference to the
    image in [0, 1], averaged over pixels and batch.
    """
    made = {}
    for label, data, size, outer, middle, batch_size in _AUTOENCODERS:
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


_CONV = {"first_hidden_size": 32, "hidden_size": 64, "num_layers": 3}
_WIDE_CONV = {"first_hidden_size": 64, "hidden_size": 128, "num_layers": 4}

_SMALL_CONV = {"first_hidden_size": 16, "hidden_size": 32, "num_layers": 2}

# Data set, image size, and the rest of the config.
_CONVOLUTIONS: dict[str, tuple[str, int, Config]] = {
    "Conv_Cifar100_32x64x64": ("cifar100", 32, _CONV),
    "Conv_Cifar100_32x64x64_BS32": ("cifar100", 32, _CONV),
    "Conv_Cifar100_32x64x64_Tanh": ("cifar100", 32, {**_CONV, "activation": "tanh"}),
    "Conv_Cifar10_8_16x32": ("cifar10", 8, _SMALL_CONV),
    "Conv_Cifar10_16_32x64x64": ("cifar10", 16, _CONV),
    "Conv_Cifar10_32x64x64": ("cifar10", 32, _CONV),
    "Conv_Cifar10_32x64x64_Tanh": ("cifar10", 32, {**_CONV, "activation": "tanh"}),
    "Conv_Cifar10_32x64x64_batchnorm": ("cifar10", 32, {**_CONV, "normalization": "batch_norm"}),
    "Conv_Cifar10_32x64x64_layernorm": ("cifar10", 32, {**_CONV, "normalization": "layer_norm"}),
    "Conv_imagenet16_16_64x128x128x128": ("imagenet16", 16, _WIDE_CONV),
    "Conv_imagenet32_16_32x64x64": ("imagenet32", 32, _CONV),  # 32 pixels, despite its name
}


def conv() -> dict[str, TaskSpec]:
    """Return the convolutional classifiers ``Conv_*``.

    3x3 convolutions with biases, the first with stride 2; the normalisation, where there is one,
    comes after the activation; a global average and a linear map.
    """
    made = {}
    for name, (data, size, chosen) in _CONVOLUTIONS.items():
        config = {"image_size": size, "num_stride2": 1, **KERNEL, **chosen}
        batch_size = 32 if name.endswith("_BS32") else 128
        made[name] = TaskSpec("cnn", config, DataSpec(data), batch_size, name=name)
    return made


# By number: image size, batch size, blocks of the four groups, channels of the first group and
# their multiples, kernel of the first convolution, whether a maximum follows it.
_RESNETS = (
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


def resnet() -> dict[str, TaskSpec]:
    """Return the residual networks ``Resnet_MultiRuntime_*``.

    Version 2 with bottlenecks on ImageNet, 64 channels before the first block, and a last layer
    that starts at zero: the first loss is ln 1000.
    """
    made = {}
    for number, (size, batch_size, blocks, base, pattern, kernel, pool) in enumerate(_RESNETS):
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
        made[name] = TaskSpec("resnet", config, DataSpec(f"imagenet{size}"), batch_size, name=name)
    return made


# Data set and image size of transformers and mixers, by the word in the names of tasks.
_PATCHED_DATA = {
    "Cifar100": ("cifar100", 32),
    "Food101_64": ("food101_64", 64),
    "ImageNet64": ("imagenet64", 64),
}
_PATCH_SIZE = 16

_VITS = {
    "skinnydeep": {"num_layers": 10, "num_heads": 4, "head_dim": 32, "mlp_dim": 512},
    "wideshallow": {"num_layers": 6, "num_heads": 6, "head_dim": 64, "mlp_dim": 1536},
}

_TINY_MIXER = {"num_layers": 5, "hidden_size": 512, "channels_mlp_dim": 2048}
_SMALL_MIXER = {"num_layers": 8, "hidden_size": 768, "channels_mlp_dim": 3072}
_MIXERS = {
    "bs256_tiny16": (_TINY_MIXER, 256),
    "small16": (_SMALL_MIXER, 128),
    "tiny16": (_TINY_MIXER, 128),
}


def vit() -> dict[str, TaskSpec]:
    """Return the vision transformers ``VIT_*``.

    No dropout; the last layer starts at zero, so that the first loss is the logarithm of the
    number of classes.
    """
    made = {}
    for label, (data, size) in _PATCHED_DATA.items():
        for shape, network in _VITS.items():
            name = f"VIT_{label}_{shape}"
            config = {"image_size": size, "patch_size": _PATCH_SIZE, **network}
            made[name] = TaskSpec("vit", config, DataSpec(data), 128, name=name)
    return made


def mlp_mixer() -> dict[str, TaskSpec]:
    """Return the MLP-Mixers ``MLPMixer_*``.

    The last layer starts at zero, as that of the transformers.
    """
    made = {}
    for label, (data, size) in _PATCHED_DATA.items():
        for variant, (network, batch_size) in _MIXERS.items():
            name = f"MLPMixer_{label}_{variant}"
            config = {
                "image_size": size,
                "patch_size": _PATCH_SIZE,
                "tokens_mlp_dim": 384,
                **network,
            }
            made[name] = TaskSpec("mlp_mixer", config, DataSpec(data), batch_size, name=name)
    return made
