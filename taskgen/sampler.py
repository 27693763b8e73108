"""Sample task specs: a mixture over families, capped by a budget."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.foundation.place import portable
from velodrome.taskgen.budget import Budget, load_profile
from velodrome.taskgen.data.add import named
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.data.view import count_examples
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.description import cost
from velodrome.taskgen.registry import families
from velodrome.taskgen.space.config import sample_config
from velodrome.taskgen.space.distributions import choice
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.space.fields import config_fields
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.views import ImageView

MIXTURE = ("mlp", "cnn", "rnn", "transformer")
"""Families that a sample is drawn from, with equal weights."""

DATA = {
    "published": {
        "image": ("mnist", "fashion_mnist", "cifar10", "cifar100", "imagenet16"),
        "text": ("lm1b_bytes", "lm1b_32k", "wikipedia_bytes", "wikipedia_32k"),
    },
    "built-in": {
        "image": ("digits", "mnist5k", "photos"),
        "text": ("kjv",),
        "table": ("breast_cancer",),
        "pair": ("bible_translation",),
        "graph": ("networkx_atlas",),
    },
}
"""Data sets by kind, each drawn with equal weights."""

OF_KIND = {
    "image": ("mlp", "cnn"),
    "text": ("rnn", "transformer"),
    "table": ("tabular_mlp",),
    "hashed_table": ("dlrm",),
    "pair": ("wmt_transformer",),
    "audio": ("conformer", "deepspeech"),
    "graph": ("gnn",),
    "reconstruction": ("unet",),
}
"""Families that tasks on one data set are drawn from, by its kind, with equal weights."""

MIRRORED = frozenset({"photos"})
"""Built-in data sets whose images may be mirrored: digits may not."""

ATTEMPTS = 64
"""Draws before a task that exceeds the budget is shrunk."""


@dataclass(frozen=True)
class Sampled:
    """A sampled spec, and how it came about.

    Attributes:
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
    data: str | Path = "published",
    hours: int | float = 1.0,
    device: str = "v100",
    max_mflop: int | float | None = None,
    min_parameters: int = 0,
) -> list[TaskSpec]:
    """Sample ``count`` task specs; equal on every machine, and without jax.

    The k-th task of a family does not depend on how many tasks are asked for, nor on whether the
    family is asked for alone or drawn from the mixture.

    Args:
      count: At least 0.
      seed: Any integer.
      family: Name of a family; None draws each from `MIXTURE`, or from those of
        `OF_KIND` for one data set.
      data: "published" draws the published data sets; "built-in" those that come inside
        installed packages, with random shifts (and flips of photographs) against saturation. Or
        the name of a data set, or the path of data of yours, which `velodrome.add_data`
        then adds under the name of the file; your images are shifted at random too.
      hours: A task must do its 10,000 steps in this time on the device.
      device: Name of a device profile.
      max_mflop: Cap on the FLOPs of a training step, in units of 10^6.
      min_parameters: Smaller tasks are drawn again.

    Raises:
      UnknownNameError: There is no such family or device.
      SpecError: ``count``, ``data``, ``hours``, ``max_mflop`` or ``min_parameters`` is not allowed,
        or ``family`` is not for data of that kind.
      DataError: Your data cannot be read, or have changed.
      VelodromeError: No task fits the budget, however small, or none has enough parameters.

    Examples:
      >>> specs = velodrome.sample(3, seed=0, family="mlp", data="built-in", max_mflop=1)
      >>> [spec.label for spec in specs]
      ['mlp-16278fe1', 'mlp-9e6d8365', 'mlp-c39227ec']
    """
    budget = Budget(load_profile(device), hours=hours, max_mflop=max_mflop)
    drawn = sample_recorded(
        count, seed=seed, family=family, data=str(data), budget=budget, least=min_parameters
    )
    return [sampled.spec for sampled in drawn]


def sample_recorded(
    count: int, *, seed: int, family: str | None, data: str, budget: Budget, least: int = 0
) -> Iterator[Sampled]:
    """Yield what `sample` returns, one by one, with how each came about.

    ``least`` is its ``min_parameters``.
    """
    for field, value in (("count", count), ("min_parameters", least)):
        if value < 0:
            raise SpecError(field, value, "an integer of at least 0")
    stream = data
    if data not in DATA:
        added = named(data)
        data = added if isinstance(added, str) else added.dataset.name
        stream = "one data set"  # the same networks on any data
    mixture = choice(MIXTURE if data in DATA else OF_KIND[datasets.get(data).kind])
    seen: Counter[str] = Counter()
    for index in range(count):
        name = family or str(mixture.sample(NamedRng(seed, "mixture", index), "family"))
        _check_kind(name, data)
        rng = NamedRng(seed, "family", portable(name), stream, seen[name])
        yield _sample_one(rng, name, data, budget, least)
        seen[name] += 1


def _sample_one(rng: NamedRng, name: str, data: str, budget: Budget, least: int) -> Sampled:
    """Draw until a task fits; then shrink the cheapest of those drawn that are large enough."""
    cheapest: tuple[int, TaskSpec] | None = None
    for attempt in range(ATTEMPTS):
        spec = _draw(rng.child(attempt), name, data)
        step = cost(spec)
        if step.params < least:
            continue
        if budget.allows(step):
            return Sampled(spec, attempt + 1, {})
        if cheapest is None or step.flops < cheapest[0]:
            cheapest = (step.flops, spec)
    asked = f"min_parameters ({least:,}): ask for fewer"
    if cheapest is None:
        raise VelodromeError(f"none of {ATTEMPTS} drawn tasks of family {name!r} has {asked}.")
    drawn = cheapest[1]
    spec = fit_budget(drawn, budget)
    if (left := cost(spec).params) < least:
        raise VelodromeError(
            f"within the budget a drawn task of family {name!r} has {left:,} parameters, and not "
            f"{asked}, or allow more hours or MFLOP."
        )
    return Sampled(_augmented(spec), ATTEMPTS, _changes(drawn, spec))


def _draw(rng: NamedRng, name: str, data: str) -> TaskSpec:
    family = families.get(name)
    spec = TaskSpec(
        family=name,
        config=sample_config(family.config, rng),
        data=_draw_data(family.data_kind, data, rng),
        batch_size=int(family.batch_size.sample(rng, "batch_size")),
    )
    return _augmented(spec if data in DATA else _fit_batch(spec))


def _draw_data(kind: str, data: str, rng: NamedRng) -> DataSpec:
    if data in DATA:
        return DataSpec(str(choice(DATA[data][kind]).sample(rng, "data")))
    info = datasets.get(data).info
    return DataSpec(data, hash=info.content_hash if info.provenance == "own" else "")


def _fit_batch(spec: TaskSpec) -> TaskSpec:
    """Halve the batch until the train split has one."""
    examples = count_examples(spec.info, spec.view, "train")
    batch = spec.batch_size
    while examples is not None and batch > examples:
        batch //= 2
    return dataclasses.replace(spec, batch_size=batch)


def _check_kind(family: str, data: str) -> None:
    """Raise a `SpecError` unless the family trains on such data."""
    kind = families.get(family).data_kind
    if data in DATA:
        if kind not in DATA[data]:
            raise SpecError("data", data, f"other data: none of these is of kind {kind!r}")
        return
    found = datasets.get(data).kind
    if found != kind:
        allowed = f"for data of kind {found!r}, which {data!r} is: {', '.join(OF_KIND[found])}"
        raise SpecError("family", family, allowed)


def _augmented(spec: TaskSpec) -> TaskSpec:
    """Give built-in and own images their random shift, of an eighth of their size, and flip.

    The built-in sets are small: without that, a good optimizer soon knows them by heart.
    """
    name, view = spec.data.name, spec.view
    own = spec.info.provenance == "own"
    if not isinstance(view, ImageView) or not (own or name in DATA["built-in"]["image"]):
        return spec
    shift = max(1, view.size // 8)
    data = dataclasses.replace(spec.data, shift=shift, flip=name in MIRRORED)
    return dataclasses.replace(spec, data=data)


def fit_budget(spec: TaskSpec, budget: Budget) -> TaskSpec:
    """Return ``spec``, shrunk until it fits.

    The rule: classes that no token of the data belongs to are dropped first; then, again and
    again, the field that is the largest multiple of its floor (``Family.shrink``; the first of
    equals) is halved, but not below the floor. So a task keeps its proportions.

    Raises:
      VelodromeError: Nothing is left to shrink, and the task still does not fit.
    """
    floors = dict(spec.family_object.shrink)
    if "vocab_size" in floors and not budget.allows(cost(spec)):
        reachable = max(spec.info.vocab_size, floors["vocab_size"])
        spec = _with(spec, "vocab_size", min(_value(spec, "vocab_size"), reachable))
    while True:
        excess = budget.excess(cost(spec))
        if not excess:
            return spec
        field = max(floors, key=lambda name: _value(spec, name) / floors[name])
        value = _value(spec, field)
        if value <= floors[field]:
            raise VelodromeError(
                f"no task of family {spec.family!r} fits: the smallest has {' and '.join(excess)}. "
                "Allow more hours or MFLOP, or name a larger device."
            )
        spec = _with(spec, field, max(floors[field], value // 2))


def _value(spec: TaskSpec, field: str) -> Any:
    in_config = field in config_fields(type(spec.config))
    return getattr(spec.config if in_config else spec, field)


def _with(spec: TaskSpec, field: str, value: int) -> TaskSpec:
    if field in config_fields(type(spec.config)):
        config = dataclasses.replace(spec.config, **{field: value})
        return dataclasses.replace(spec, config=config)
    return dataclasses.replace(spec, **{field: value})


def _changes(before: TaskSpec, after: TaskSpec) -> dict[str, tuple[int, int]]:
    names = [*config_fields(type(before.config)), "batch_size"]
    values = {name: (_value(before, name), _value(after, name)) for name in names}
    return {name: (old, new) for name, (old, new) in values.items() if old != new}
