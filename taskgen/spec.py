"""TaskSpec: everything that defines a task, as frozen data with one JSON text and one hash."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from foundation.canonical import content_hash
from foundation.errors import SpecError
from taskgen.space import check_config, config_to_json, static_values

BATCH_SIZES = (1, 65_536)
SHIFTS = (0, 64)


def _without_defaults(spec: Any, keep: Sequence[str] = ()) -> dict[str, Any]:
    return {
        field.name: getattr(spec, field.name)
        for field in dataclasses.fields(spec)
        if field.name in keep or getattr(spec, field.name) != field.default
    }


def _require(ok: bool, field: str, value: Any, allowed: str) -> None:
    if not ok:
        raise SpecError(field, value, allowed)


def _require_integer(field: str, value: Any, low: int, high: int) -> None:
    ok = type(value) is int and low <= value <= high
    _require(ok, field, value, str(low) if low == high else f"an integer from {low} to {high}")


def _check_keys(where: str, values: Any, cls: type) -> None:
    names = [field.name for field in dataclasses.fields(cls)]
    _require(isinstance(values, Mapping), where, values, f"a mapping with keys of {names}")
    for key in values:
        if key not in names:
            close = difflib.get_close_matches(str(key), names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SpecError(where, key, f"one of the keys {', '.join(names)}{hint}")


@dataclass(frozen=True)
class DataSpec:
    """Which data set, and its random augmentation while training.

    Args:
      name: Name of a registered data set.
      shift: Images only: each training image moves by up to this many pixels in both directions,
        with zeros moving in. 0 is none.
      flip: Images only: each training image is mirrored left to right with probability 1/2.

    Raises:
      SpecError: A value has the wrong type or is out of range.
    """

    name: str
    shift: int = 0
    flip: bool = False

    def __post_init__(self):
        _require(type(self.name) is str, "data.name", self.name, "a string")
        _require_integer("data.shift", self.shift, *SHIFTS)
        _require(type(self.flip) is bool, "data.flip", self.flip, "true or false")

    def to_json(self) -> dict[str, Any]:
        """Returns the name, and what is not at its default."""
        return _without_defaults(self, keep=("name",))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataSpec:
        """Reads what :meth:`to_json` wrote, or a checked hand-written mapping."""
        _check_keys("data", values, cls)
        _require("name" in values, "data", dict(values), "a mapping with the key 'name'")
        return cls(**values)


@dataclass(frozen=True)
class Precision:
    """Number formats. Each has one legal value today; the place is kept for more.

    Args:
      params: Format of parameters and gradients.
      compute: Format of activations.
      matmul: Precision of matrix products; "highest" forbids TF32 and bfloat16 passes.
    """

    params: str = "float32"
    compute: str = "float32"
    matmul: str = "highest"

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            _require(value == field.default, f"precision.{field.name}", value, repr(field.default))

    def to_json(self) -> dict[str, Any]:
        """Returns what is not at its default."""
        return _without_defaults(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Precision:
        """Reads what :meth:`to_json` wrote."""
        _check_keys("precision", values, cls)
        return cls(**values)


@dataclass(frozen=True)
class TaskSpec:
    """A task, completely: equal specs are equal tasks on every machine.

    Args:
      family: Name of a registered task family.
      config: The family's config; a mapping is checked and completed with defaults.
      data: The data set; a plain name stands for ``DataSpec(name)``.
      batch_size: Examples in a training batch, from 1 to 65536.
      version: Version of the family that gives this spec its meaning. 0 stands for the present
        one.
      precision: Number formats.
      augmentations: Wrappers around the task. None exists yet, so this is empty.
      grad_accumulation: Batches whose gradients are averaged for a step. Only 1 for now.
      name: A label for people. It is not part of the hash.

    Raises:
      UnknownNameError: There is no such family.
      SpecError: A field has the wrong type or is out of range, or ``version`` is another one
        than the family's.
    """

    family: str
    config: Any
    data: DataSpec
    batch_size: int
    version: int = 0
    precision: Precision = Precision()
    augmentations: tuple[str, ...] = ()
    grad_accumulation: int = 1
    name: str = ""

    def __post_init__(self):
        _require(type(self.family) is str, "family", self.family, "a string")
        family = self.family_object
        put = object.__setattr__  # the way to complete a frozen dataclass while it is made
        put(self, "config", check_config(family.config, self.config))
        if isinstance(self.data, str):
            put(self, "data", DataSpec(self.data))
        _require(isinstance(self.data, DataSpec), "data", self.data, "a data set")
        _require_integer("batch_size", self.batch_size, *BATCH_SIZES)
        if self.version == 0:
            put(self, "version", family.version)
        _require(
            type(self.version) is int and self.version == family.version,
            "version",
            self.version,
            f"{family.version}, the version of the family {self.family!r} in this package; "
            "sample or write the spec anew, or use the package it was made with",
        )
        _require(not self.augmentations, "augmentations", self.augmentations, "empty")
        put(self, "augmentations", ())
        _require_integer("grad_accumulation", self.grad_accumulation, 1, 1)
        _require(type(self.name) is str, "name", self.name, "a string")

    @property
    def family_object(self) -> Any:
        """The registered :class:`taskgen.families.Family`."""
        from taskgen.families import families  # here, because families are declared with specs

        return families.get(self.family)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON without the name."""
        values = self.to_json()
        values.pop("name", None)
        return content_hash(values)

    @cached_property
    def static_hash(self) -> str:
        """The hash without dynamic values: specs that share it share compiled programs."""
        values = self.to_json()
        values.pop("name", None)
        values["config"] = static_values(self.config)
        return content_hash(values)

    @property
    def label(self) -> str:
        """The name, or else the family and the first digits of the hash."""
        return self.name or f"{self.family}-{self.hash[:8]}"

    def to_json(self) -> dict[str, Any]:
        """Returns the spec as JSON, without the fields that are at their default."""
        values = _without_defaults(self, keep=("family", "batch_size", "version"))
        values["data"] = self.data.to_json()
        values["config"] = config_to_json(self.config)
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TaskSpec:
        """Reads what :meth:`to_json` wrote, or a hand-written mapping.

        Raises:
          SpecError: A key is unknown or missing, or a value is not allowed.
          UnknownNameError: There is no such family.
        """
        _check_keys("spec", values, cls)
        for key in ("family", "data", "batch_size"):
            _require(key in values, "spec", sorted(values), f"a mapping with the key {key!r}")
        made = dict(values)
        made.setdefault("config", {})
        if isinstance(made["data"], Mapping):
            made["data"] = DataSpec.from_json(made["data"])
        if isinstance(made.get("precision"), Mapping):
            made["precision"] = Precision.from_json(made["precision"])
        if isinstance(made.get("augmentations"), list):
            made["augmentations"] = tuple(made["augmentations"])
        return cls(**made)
