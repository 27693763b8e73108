"""`Protocol`: for how long, how often and how every optimizer of a suite is run and measured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, TypeAlias

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import SpecError, unknown_key
from velodrome.optimizers.registry import optimizers

EVAL_BATCHES = ("fixed", "fresh", "stream")
EVAL_MODES = ("eval", "training-loss")

#: Values of the hyperparameters of optimizers: ``{"adamw": {"weight_decay": (0.0, 0.1)}}``.
Grids: TypeAlias = Mapping[str, Mapping[str, Sequence[bool | int | float | str]]]


@dataclass(frozen=True)
class Protocol:
    """The rules of a comparison: two runs compare only if their protocols have the same hash.

    An evaluation at step ``s`` happens after exactly ``s`` updates: at 0, ``eval_every``, ..., and
    last after the last update.

    Args:
      steps: Updates that a candidate makes, N; a multiple of ``eval_every``.
      seeds: Repetitions. Repetition ``i`` has the seed ``i`` for every optimizer.
      baseline: Name of the optimizer that gets ``baseline_multiple`` times as many steps.
      baseline_multiple: How many times N updates the baseline makes; a speedup over it is
        censored there.
      eval_every: Updates between evaluations on the train split.
      heldout_every: Updates between evaluations on the held-out split; a multiple of
        ``eval_every``. The last evaluation is always on both splits.
      eval_examples: Examples in an evaluation (fewer if the split is smaller).
      eval_batch_count: If not 0, an evaluation takes that many batches of the task's batch size
        instead, each by itself, so that batch statistics are taken over as many examples as in
        training (Metz et al. 2022 take 5).
      eval_batches: ``"fixed"``: the same examples at every evaluation, for every optimizer and
        seed. ``"fresh"``: other ones at every evaluation, the same for every optimizer.
        ``"stream"``: on the train split, the next ``eval_batch_count`` batches of the stream that
        training takes its batches from, so that no evaluated example has been trained on in this
        epoch (as Metz et al. 2022 evaluate); held out as ``"fresh"``.
      eval_mode: ``"eval"``: as the model is used. ``"training-loss"``: the loss as it is trained
        on, dropout included (as Metz et al. 2022, arXiv 2211.09760, evaluate).
      corpus_examples: Held-out examples on which each held-out evaluation computes the corpus
        metrics of a task's family, such as BLEU (fewer if the split is smaller): always the same
        ones. 0: these metrics are not computed.
      learning_rates: If given, they replace the rates of every optimizer that sweeps them.
      grids: By the name of an optimizer of the suite, values of some of its hyperparameters: they
        replace those of its own grid, and of ``learning_rates``, or come into its grid.
      refine: If given, more learning rates are tried around the best one of each sweep on each
        task, until another round gains less than this share of the loss.
      version: Raised when these fields come to mean other numbers.

    Raises:
      SpecError: A field is out of range or contradicts another.

    Examples:
      >>> protocol = velodrome.Protocol(steps=200, seeds=2, learning_rates=(1e-3, 1e-2))
      >>> protocol.evaluations(200)[:3]
      [0, 10, 20]
    """

    steps: int
    seeds: int = 3
    baseline: str = "adam"
    baseline_multiple: int = 5
    eval_every: int = 10
    heldout_every: int = 50
    eval_examples: int = 512
    eval_batches: str = "fixed"
    eval_mode: str = "eval"
    eval_batch_count: int = 0
    corpus_examples: int = 0
    learning_rates: tuple[float, ...] | None = None
    grids: Grids = field(default_factory=dict, hash=False)
    refine: float | None = None
    version: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "seeds", "baseline_multiple", "eval_every", "eval_examples"):
            value = getattr(self, name)
            self._require(name, type(value) is int and value >= 1, "an integer of at least 1")
        self._require(
            "eval_batch_count",
            type(self.eval_batch_count) is int and self.eval_batch_count >= 0,
            "an integer of at least 1, or 0 for eval_examples examples together",
        )
        self._require(
            "corpus_examples",
            type(self.corpus_examples) is int and self.corpus_examples >= 0,
            "an integer of at least 1, or 0 for no corpus metrics",
        )
        self._require(
            "heldout_every",
            type(self.heldout_every) is int
            and self.heldout_every >= self.eval_every
            and self.heldout_every % self.eval_every == 0,
            f"a positive multiple of eval_every ({self.eval_every})",
        )
        self._require(
            "steps",
            self.steps % self.eval_every == 0,
            f"a multiple of eval_every ({self.eval_every}), so that the last evaluation is after "
            "the last update",
        )
        self._require("eval_batches", self.eval_batches in EVAL_BATCHES, f"one of {EVAL_BATCHES}")
        self._require(
            "eval_batch_count",
            self.eval_batch_count > 0 or self.eval_batches != "stream",
            "at least 1 with eval_batches='stream': that many batches of the stream are evaluated",
        )
        self._require("eval_mode", self.eval_mode in EVAL_MODES, f"one of {EVAL_MODES}")
        known = "1, the only version that this package knows"
        self._require("version", self.version == 1, known)
        if self.learning_rates is not None:
            rates = _checked_rates("protocol.learning_rates", self.learning_rates)
            object.__setattr__(self, "learning_rates", rates)
        object.__setattr__(self, "grids", _checked_grids(self.grids))
        shares = self.refine is None or (_is_number(self.refine) and 0 < self.refine < 1)
        self._require("refine", shares, "a share of the loss, such as 0.01")

    def _require(self, field: str, fine: bool, allowed: str) -> None:
        if not fine:
            raise SpecError(f"protocol.{field}", getattr(self, field), allowed)

    def examples(self, batch_size: int) -> int:
        """Return how many examples an evaluation of a task of that batch size has."""
        return self.eval_batch_count * batch_size or self.eval_examples

    def examples_together(self, batch_size: int) -> int:
        """Return how many of them the model must see at once, as far as the protocol says."""
        return batch_size if self.eval_batch_count else self.eval_examples

    def batch_number(self, step: int) -> int:
        """Return which batch of the seed's stream an update trains on, from its number.

        With ``eval_batches="stream"`` the batches of an evaluation come just before that of the
        next update.
        """
        if self.eval_batches != "stream":
            return step
        return step + (step // self.eval_every + 1) * self.eval_batch_count

    def horizon(self, optimizer: str) -> int:
        """Return how many updates the optimizer of that name makes."""
        return self.steps * (self.baseline_multiple if optimizer == self.baseline else 1)

    def evaluations(self, horizon: int, split: str = "train") -> list[int]:
        """Return the steps at which a run of ``horizon`` updates is evaluated, ascending.

        The split is ``"train"`` or ``"heldout"``; both are evaluated after the last update.
        """
        every = self.eval_every if split == "train" else self.heldout_every
        steps = list(range(0, horizon + 1, every))
        return steps if steps[-1] == horizon else [*steps, horizon]

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON; files of optimizers count by their names alone."""
        return content_hash(self.portable())

    def portable(self) -> dict[str, Any]:
        """Return the fields as `to_json` does, without the folders of optimizers' files."""
        grids = {optimizers.portable(name): values for name, values in self.grids.items()}
        return dataclasses.replace(self, grids=grids).to_json()

    def to_json(self) -> dict[str, Any]:
        """Return the fields; some of them are left out at their default, so that hashes stay."""
        values = dataclasses.asdict(self)
        if not self.eval_batch_count:
            del values["eval_batch_count"]
        if not self.corpus_examples:
            del values["corpus_examples"]
        if not self.grids:
            del values["grids"]
        if self.refine is None:
            del values["refine"]
        if self.learning_rates is None:
            del values["learning_rates"]
        else:
            values["learning_rates"] = list(self.learning_rates)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Protocol:
        """Read what `to_json` wrote, or a hand-written mapping.

        Raises:
          SpecError: A key is unknown, or a value is not allowed.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in names:
                raise unknown_key("protocol", key, names)
        if "steps" not in values:
            raise SpecError("protocol", sorted(values), "a mapping with the key 'steps'")
        made = dict(values)
        if not isinstance(made.get("baseline", ""), str):
            raise SpecError("protocol.baseline", made["baseline"], "the name of an optimizer")
        if made.get("learning_rates") is not None:
            made["learning_rates"] = _checked_rates(
                "protocol.learning_rates", made["learning_rates"]
            )
        made["grids"] = _checked_grids(made.get("grids", {}))
        return cls(**made)


def _checked_rates(name: str, rates: object) -> tuple[float, ...]:
    if not isinstance(rates, list | tuple) or not all(map(_is_number, rates)):
        raise SpecError(name, rates, "a list of numbers")
    made = tuple(float(rate) for rate in rates)
    if not made or not all(0 <= rate < float("inf") for rate in made):
        raise SpecError(name, rates, "one or more finite rates of at least 0")
    if len(set(made)) != len(made):
        raise SpecError(name, rates, "different rates")
    return made


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _checked_grids(grids: object) -> dict[str, dict[str, list[Any]]]:
    """Return grids with lists of values, as JSON has them."""
    made: dict[str, dict[str, list[Any]]] = {}
    for optimizer, values in _mapping("protocol.grids", grids).items():
        where = f"protocol.grids[{optimizer!r}]"
        for name, given in _mapping(where, values).items():
            made.setdefault(optimizer, {})[name] = _checked_values(f"{where}.{name}", name, given)
        if not values:
            raise SpecError(where, values, "one or more hyperparameters with their values")
    return made


def _checked_values(where: str, name: str, given: object) -> list[Any]:
    if name == "learning_rate":
        return list(_checked_rates(where, given))
    if not isinstance(given, list | tuple) or not given:
        raise SpecError(where, given, "a list of values")
    for value in given:
        finite = not isinstance(value, float) or math.isfinite(value)
        if not isinstance(value, bool | int | float | str) or not finite:
            raise SpecError(where, value, "a finite number, true or false, or a word")
    # 1 and 1.0 are one value, and True is another one.
    if len({(isinstance(value, bool), value) for value in given}) < len(given):
        raise SpecError(where, given, "different values")
    return list(given)


def _mapping(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise SpecError(where, value, 'a mapping such as {"adamw": {"weight_decay": [0, 0.1]}}')
    return value
