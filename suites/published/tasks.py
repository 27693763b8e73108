"""The published fixed tasks of google/learned_optimization, by name, as specs of our families.

The paper (Metz et al. 2022, arXiv 2211.09760) evaluates on "VeLOdrome", 83 tasks that it does not
list. The code registers 132 fixed tasks today, of which 125 have published curves; it had exactly
83 at its commit 726f588 of 26 April 2022, and we take those for the 83. That choice is ours: we
are about 60% sure that it is the paper's, and about 85% that it has at least 70 tasks in common
with it (``docs/reference/velodrome-83.md``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from velodrome.foundation.errors import PlanError, UnknownNameError
from velodrome.suites.published import images, text
from velodrome.suites.published import learned_optimizer as learned
from velodrome.taskgen.spec import TaskSpec

#: Groups of tasks, and the functions that make their specs by published name.
GROUPS: dict[str, Callable[[], dict[str, TaskSpec]]] = {
    "mlp": images.mlp,
    "autoencoder": images.autoencoder,
    "conv": images.conv,
    "resnet": images.resnet,
    "vit": images.vit,
    "rnn_lm": text.rnn_lm,
    "transformer_lm": text.transformer_lm,
    "es_wrapped": learned.es_wrapped,
    "mlp_mixer": images.mlp_mixer,
    "learned_optimizer": learned.learned_optimizer,
}

#: Groups that were added to the published code after the commit that had 83 tasks.
LATER_GROUPS = frozenset({"mlp_mixer", "learned_optimizer"})

#: Tasks of the other groups that came after that commit, or have no published curves.
LATER_TASKS = frozenset(
    {
        "Conv_Cifar100_32x64x64_BS32",
        "Conv_Cifar100_32x64x64_Tanh",
        "Conv_Cifar10_8_16x32",
        "ESWrapped_1pair_ImageMLP_Cifar10BW8_Relu32",
        "ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32",
        "ImageMLP_Cifar10BW8_Relu32",
        "ImageMLP_Cifar10_1024x1024_Relu",
        "ImageMLP_Cifar10_16384x16384_Relu",
        "ImageMLP_Cifar10_256x256_Relu",
        "ImageMLP_Cifar10_256x256_Relu_BS32",
        "ImageMLP_Cifar10_4096x4096_Relu",
        "ImageMLP_Cifar10_8192x8192_Relu",
        "ImageMLP_FashionMnist16_Relu32",
        "ImageMLP_FashionMnist32_Relu32",
    }
)

#: Published tasks that are not implemented, and what they need.
NOT_HERE = {
    f"JAXNeRF_{scene}BlenderTask": "needs the rendered scenes of NeRF (Mildenhall et al. 2020), "
    "a data kind of rays, and a network with two levels of sampling along each"
    for scene in ("Hotdog", "Lego", "Ship")
}


def refuse_missing(name: str) -> None:
    """Raise a `PlanError` if ``name`` is a published task that is not implemented."""
    if name in NOT_HERE:
        raise PlanError(f"the published task {name} is not implemented: it {NOT_HERE[name]}.")


@functools.cache
def group_tasks(group: str) -> dict[str, TaskSpec]:
    """Return the specs of a group by published name, sorted by name.

    Raises:
      UnknownNameError: There is no such group.
    """
    if group not in GROUPS:
        raise UnknownNameError("group of published tasks", group, GROUPS)
    return dict(sorted(GROUPS[group]().items()))


@functools.cache
def published_tasks() -> dict[str, TaskSpec]:
    """Return all specs by published name, group by group."""
    return {name: spec for group in GROUPS for name, spec in group_tasks(group).items()}


def group_of(name: str) -> str:
    """Return the group of a published task.

    Raises:
      UnknownNameError: No implemented task has that name.
    """
    for group in GROUPS:
        if name in group_tasks(group):
            return group
    raise UnknownNameError("published task", name, published_tasks())


def in_83(name: str) -> bool:
    """Return whether a published task is among those that we take for the 83."""
    return name not in LATER_TASKS and group_of(name) not in LATER_GROUPS
