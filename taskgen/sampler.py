"""Sampling task specs: a mixture over families, capped by a budget."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.budget import Budget, fit_budget, load_profile
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.family import Family
from velodrome.taskgen.registry import families
from velodrome.taskgen.space.config import choice, config_fields, sample_config
from velodrome.taskgen.space.draws import Draws
from velodrome.taskgen.spec import DataSpec, TaskSpec

MIXTURE = ("mlp", "cnn", "rnn", "transformer")
"""Families that a sample is drawn from, with equal weights."""

DATA = {
    "published": {
        "image": ("mnist", "fashion_mnist", "cifar10", "cifar100", "imagenet16"),
        "text": ("lm1b_bytes", "lm1b_32k", "wikipedia_bytes", "wikipedia_32k"),
    },
    "built-in": {"image": ("digits", "mnist5k", "photos"), "text": ("kjv",)},
}
"""Data sets by kind, each drawn with equal weights."""

MIRRORED = frozenset({"photos"})
"""Built-in data sets whose images may be mirrored: digits may not."""

ATTEMPTS = 64
"""Draws before a task that fits no budget is shrunk."""


@dataclass(frozen=True)
class Sampled:
    """A sampled spec, and how it came about.

    Attributes:
      spec: The spec.
      attempts: Draws it took; more than one if the first ones were over the budget.
      shrunk: {field: (drawn, now)} of what was shrunk to fit.
    """

    spec: TaskSpec
    attempts: int
    shrunk: dict[str, tuple[int, int]]


def sample(
    count: int,
    *,
    seed: int,
    family: str | None = None,
    data: str = "published",
    hours: int | float = 1.0,
    device: str = "v100",
    max_mflop: int | float | None = None,
) -> list[TaskSpec]:
    """Samples task specs; the same on every machine, and without jax.

    The k-th task of a family is the same whether the family is asked for alone or drawn from the
    mixture, and however many tasks are asked for.

    Args:
      count: How many.
      seed: Any integer.
      family: Name of a family; None draws each from :data:`MIXTURE`.
      data: "published" draws the published data sets; "built-in" those that come inside
        installed packages, with random shifts (and flips of photographs) against saturation.
      hours: A task must do its 10,000 steps in this time on the device.
      device: Name of a device profile.
      max_mflop: Cap on the FLOPs of a training step, in units of 10^6.

    Returns:
      ``count`` specs.

    Raises:
      UnknownNameError: There is no such family or device.
      SpecError: ``count``, ``data``, ``hours`` or ``max_mflop`` is not allowed.
      VelodromeError: No task fits the budget, however small.
    """
    budget = Budget(load_profile(device), hours=hours, max_mflop=max_mflop)
    drawn = sample_recorded(count, seed=seed, family=family, data=data, budget=budget)
    return [sampled.spec for sampled in drawn]


def sample_recorded(
    count: int, *, seed: int, family: str | None, data: str, budget: Budget
) -> Iterator[Sampled]:
    """Yields what :func:`sample` returns, one by one, with how each came about."""
    if count < 0:
        raise SpecError("count", count, "an integer of at least 0")
    if data not in DATA:
        raise SpecError("data", data, "one of " + ", ".join(map(repr, DATA)))
    mixture = choice(MIXTURE)
    seen: Counter[str] = Counter()
    for index in range(count):
        name = family or mixture.sample(Draws(seed, "mixture", index), "family")
        yield _sample_one(Draws(seed, "family", name, data, seen[name]), name, data, budget)
        seen[name] += 1


def _sample_one(draws: Draws, name: str, data: str, budget: Budget) -> Sampled:
    """Draws until a task fits the budget; then shrinks the cheapest of those drawn."""
    family = families.get(name)
    cheapest: tuple[int, TaskSpec, Any] | None = None
    for attempt in range(ATTEMPTS):
        spec, info = _draw(draws.child(attempt), family, name, data)
        cost = family.cost(spec, info)
        if budget.allows(cost):
            return Sampled(spec, attempt + 1, {})
        if cheapest is None or cost.flops < cheapest[0]:
            cheapest = (cost.flops, spec, info)
    assert cheapest is not None  # ATTEMPTS is positive
    _, drawn, info = cheapest
    spec = fit_budget(drawn, info, budget)
    return Sampled(_augmented(spec, info), ATTEMPTS, _changes(drawn, spec))


def _draw(draws: Draws, family: Family, name: str, data: str) -> tuple[TaskSpec, Any]:
    config = sample_config(family.config, draws)
    dataset = choice(DATA[data][family.data_kind]).sample(draws, "data")
    info = datasets.get(dataset).info
    spec = TaskSpec(
        family=name,
        config=config,
        data=DataSpec(dataset),
        batch_size=family.batch_size.sample(draws, "batch_size"),
    )
    return _augmented(spec, info), info


def _augmented(spec: TaskSpec, info: Any) -> TaskSpec:
    """Gives built-in images their random shift, of an eighth of their size, and flip.

    The built-in sets are small: without that, a good optimizer soon knows them by heart.
    """
    if info.kind != "image" or info.name not in DATA["built-in"]["image"]:
        return spec
    size = spec.family_object.view(spec.config, info).size
    data = DataSpec(info.name, shift=max(1, size // 8), flip=info.name in MIRRORED)
    return dataclasses.replace(spec, data=data)


def _changes(before: TaskSpec, after: TaskSpec) -> dict[str, tuple[int, int]]:
    names = [*config_fields(type(before.config)), "batch_size"]
    changes = {}
    for name in names:
        owners = (before, after) if name == "batch_size" else (before.config, after.config)
        old, new = (getattr(owner, name) for owner in owners)
        if old != new:
            changes[name] = (old, new)
    return changes
