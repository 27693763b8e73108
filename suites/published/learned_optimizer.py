"""The published tasks with estimated gradients, and those that train a learned optimizer."""

from __future__ import annotations

from collections.abc import Mapping

from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

INNER_BATCH_SIZE = 128

#: Standard deviation of the perturbations.
STD = 0.01

Config = Mapping[str, object]

_WIDE_MLP = {"hidden_size": 128, "num_layers": 3}
_SMALL_MLP = {"hidden_size": 32, "num_layers": 1, "image_size": 8}

# Name of the MLP, its data and config.
_CIFAR10 = ("ImageMLP_Cifar10_128x128x128_Relu", "cifar10", {**_WIDE_MLP, "image_size": 32})
_MNIST = ("ImageMLP_Mnist_128x128x128_Relu", "mnist", {**_WIDE_MLP, "image_size": 28})
_CIFAR10_GREY = ("ImageMLP_Cifar10BW8_Relu32", "cifar10", {**_SMALL_MLP, "grey": True})
_FASHION = ("ImageMLP_FashionMnist8_Relu32", "fashion_mnist", _SMALL_MLP)

_WRAPPED: tuple[tuple[int, tuple[str, str, Config]], ...] = (
    (1, _CIFAR10),
    (1, _CIFAR10_GREY),
    (1, _FASHION),
    (1, _MNIST),
    (8, _CIFAR10),
    (8, _MNIST),
)


def es_wrapped() -> dict[str, TaskSpec]:
    """Return the tasks ``ESWrapped_*``.

    Gradients are antithetic estimates; losses are the plain ones, of the unperturbed parameters.
    """
    made = {}
    for pairs, (base, data, network) in _WRAPPED:
        name = f"ESWrapped_{pairs}pair_{base}"
        config = {
            **network,
            "activation": "relu",
            "initializer": "truncated",
            "pairs": pairs,
            "std": STD,
        }
        made[name] = TaskSpec("es_wrapped", config, DataSpec(data), 128, name=name)
    return made


_SHARED = {"activation": "relu", "initializer": "truncated", "inner_batch_size": INNER_BATCH_SIZE}
_MLP = {"inner": "mlp", "hidden_size": 32, "num_layers": 1, "image_size": 8, **_SHARED}
_CONV = {"inner": "cnn", "num_stride2": 1, **_SHARED}
_CONV_8 = {**_CONV, "image_size": 8, "first_hidden_size": 16, "hidden_size": 32, "num_layers": 2}
_CONV_16 = {**_CONV, "image_size": 16, "first_hidden_size": 32, "hidden_size": 64, "num_layers": 3}

# The inner problem in the published names (one of which is misspelt), its data and config.
_INNER: dict[str, tuple[str, Config]] = {
    "FahionMnist": ("fashion_mnist", _MLP),
    "FashionMnist": ("fashion_mnist", _MLP),
    "Cifar10_8": ("cifar10", _CONV_8),
    "Cifar10_16": ("cifar10", _CONV_16),
}

_RULES: dict[str, Config] = {
    "LearnableAdam": {"rule": "adam"},
    "MLPLOpt": {"rule": "mlp", "rule_hidden_size": 32, "rule_hidden_layers": 2},
    "LOpt_MLPLOpt": {"rule": "mlp", "rule_hidden_size": 32, "rule_hidden_layers": 2},
    "AdafacMLPLOpt": {"rule": "adafactor_mlp", "rule_hidden_size": 4, "rule_hidden_layers": 2},
}

# Rule, inner problem, inner steps; and pairs of evolution strategies, 0 where the gradient is
# computed through the unroll.
_TASKS = (
    ("AdafacMLPLOpt", "Cifar10_8", 10, 0),
    ("AdafacMLPLOpt", "FashionMnist", 20, 0),
    ("AdafacMLPLOpt", "FashionMnist", 50, 0),
    ("AdafacMLPLOpt", "FashionMnist", 20, 4),
    ("LOpt_MLPLOpt", "Cifar10_16", 10, 4),
    ("LOpt_MLPLOpt", "FahionMnist", 50, 4),
    ("LearnableAdam", "Cifar10_8", 200, 0),
    ("LearnableAdam", "Cifar10_8", 50, 0),
    ("MLPLOpt", "Cifar10_16", 10, 0),
    ("MLPLOpt", "Cifar10_8", 50, 0),
    ("MLPLOpt", "FahionMnist", 10, 0),
    ("MLPLOpt", "FahionMnist", 100, 0),
    ("MLPLOpt", "FahionMnist", 50, 0),
)

# Data set in the name, inner problems, problem length, inner steps in a truncation.
_PES_TASKS = tuple(
    (data, problems, length, truncation)
    for data in ("Cifar", "Fashion")
    for problems, length, truncation in (
        (16, 200, 10),
        (16, 50, 10),
        (4, 50, 10),
        (4, 50, 5),
        (8, 50, 5),
    )
)


def learned_optimizer() -> dict[str, TaskSpec]:
    """Return the tasks ``LOpt_*`` and ``LOptPES_*``.

    A training batch holds all examples of an outer step: 128 for each inner problem and inner step.
    """
    return {**_unrolled(), **_persistent()}


def _unrolled() -> dict[str, TaskSpec]:
    made = {}
    for rule, problem, length, pairs in _TASKS:
        name = f"LOpt_{f'ES{pairs}_' if pairs else ''}{rule}_{problem}_{length}"
        data, inner = _INNER[problem]
        config = {
            **inner,
            **_RULES[rule],
            "unroll_length": length,
            "problems": 1,
            "es_pairs": pairs,
            "es_std": STD,
        }
        made[name] = TaskSpec(
            "learned_optimizer", config, DataSpec(data), length * INNER_BATCH_SIZE, name=name
        )
    return made


def _persistent() -> dict[str, TaskSpec]:
    made = {}
    for short, problems, length, truncation in _PES_TASKS:
        name = f"LOptPES_Adafac_{short}_OuterBS{problems}_Length{length}_Trunc{truncation}"
        config = {
            **_MLP,
            **_RULES["AdafacMLPLOpt"],
            "grey": short == "Cifar",
            "problems": problems,
            "problem_length": length,
            "unroll_length": truncation,
            "std": STD,
            "credit": "published",
        }
        made[name] = TaskSpec(
            "learned_optimizer_pes",
            config,
            DataSpec("cifar10" if short == "Cifar" else "fashion_mnist"),
            problems * truncation * INNER_BATCH_SIZE,
            name=name,
        )
    return made
