"""TaskSpec: everything that defines a task, as frozen data with one JSON text and one hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import DataError, UnknownNameError
from velodrome.foundation.place import portable
from velodrome.taskgen.augmentation import read_augmentations
from velodrome.taskgen.data.info import Dataset, DatasetInfo, kind_of
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.family import Family
from velodrome.taskgen.precision import Precision
from velodrome.taskgen.registry import families
from velodrome.taskgen.schema import View
from velodrome.taskgen.space.config import check_config, config_to_json, dynamic_values
from velodrome.taskgen.specrules import (
    STRING,
    check_fields,
    check_keys,
    integer,
    require,
    without_defaults,
)

_EXAMPLE = '{"family": "mlp", "data": "digits", "batch_size": 32}'

_TASK_RULES = {
    "family": STRING,
    "data": (
        (lambda value: isinstance(value, DataSpec | Mapping | str)),
        "a name, or a mapping with the key 'name'",
    ),
    "precision": (
        (lambda value: isinstance(value, Precision | Mapping | str)),
        "'float32', 'bfloat16', or a mapping with the keys 'params', 'compute' and 'matmul'",
    ),
    "batch_size": integer(1, 262_144),
    "version": integer(0, 1_000_000),
    "augmentations": ((lambda value: isinstance(value, list | tuple)), "a list of augmentations"),
    "grad_accumulation": integer(1, 262_144),
    "name": STRING,
}


@dataclass(frozen=True)
class TaskSpec:
    """A task, completely: equal specs are equal tasks on every machine.

    Args:
      family: Name of a registered task family.
      config: The family's config; a mapping is checked and completed with defaults.
      batch_size: Examples in a training batch, from 1 to 262144.
      version: Version of the family that gives this spec its meaning. 0 stands for the present
        one.
      precision: Number formats, or the format of activations alone, such as "bfloat16".
      augmentations: Wrappers around the task, the first one innermost: `Augmentation`, or its
        name, or a mapping of its name and fields; see `velodrome.taskgen.augmentation`.
      grad_accumulation: Equal parts of a batch that go through the network one after the other:
        their gradients are added up, so that a step needs the memory of a part. It is part of the
        hash: random numbers and statistics of batches are those of a part.
      name: A label for people. It is not part of the hash.

    Raises:
      UnknownNameError: There is no such family.
      SpecError: A field has the wrong type or is out of range, or ``version`` is not the
        family's.

    Examples:
      >>> spec = velodrome.TaskSpec("mlp", {"num_layers": 1}, velodrome.DataSpec("digits"), 32)
      >>> spec.label, spec.config.num_layers
      ('mlp-3a6dbfee', 1)
    """

    family: str
    config: Any
    data: DataSpec
    batch_size: int
    version: int = 0
    precision: Precision = Precision()
    augmentations: tuple[Any, ...] = ()  # each an Augmentation, once it is checked
    grad_accumulation: int = 1
    name: str = ""

    def __post_init__(self):
        check_fields("", vars(self), _TASK_RULES)
        family = self.family_object
        put = object.__setattr__  # the way to complete a frozen dataclass while it is made
        put(self, "config", check_config(family.config, self.config))
        put(self, "augmentations", read_augmentations(self.augmentations))
        if self.version == 0:
            put(self, "version", family.version)
        require(
            self.version == family.version,
            "version",
            self.version,
            f"{family.version}, the version of the family {self.family!r} in this package; "
            "sample or write the spec again, or use the package it was made with",
        )
        if not isinstance(self.precision, Precision):
            put(self, "precision", Precision.from_json(self.precision))
        self._check_network(family)

    def _check_network(self, family: Family) -> None:
        """Refuse what only networks can do, and parts and packs that do not divide a batch."""
        owner = f"the family {self.family!r}, which makes its own functions"
        compute, parts = self.precision.compute, self.grad_accumulation
        network = family.build is None
        require(network or compute == "float32", "precision", compute, f"'float32' for {owner}")
        require(network or parts == 1, "grad_accumulation", parts, f"1 for {owner}")
        require(
            self.batch_size % parts == 0,
            "grad_accumulation",
            parts,
            f"a divisor of the batch size, {self.batch_size}",
        )
        # In a smaller last pack there may be no room for the largest graph.
        packed = getattr(self.config, "packed_graphs", 0)
        require(
            not packed or self.batch_size % packed == 0,
            "config.packed_graphs",
            packed,
            f"a divisor of the batch size, {self.batch_size}",
        )

    @property
    def part_size(self) -> int:
        """Examples of a batch that go through the network together in training."""
        return self.batch_size // self.grad_accumulation

    @property
    def family_object(self) -> Family:
        """The registered family."""
        return families.get(self.family)

    @property
    def dataset(self) -> Dataset:
        """The registered data set.

        Raises:
          UnknownNameError: There is no such data set.
          DataError: The spec names a hash, and the data set is not here or is another one.
        """
        name, wanted = self.data.name, self.data.hash
        try:
            found = datasets.get(name)
        except UnknownNameError as error:
            if not wanted:
                raise
            raise DataError(
                f"the data set {name!r} is not here: it was added from a file where the task was "
                f"made. Copy that file to this machine and run `velodrome data add {name} FILE`; "
                f"it must give the content hash {wanted[:16]}."
            ) from error
        if wanted and found.info.content_hash != wanted:
            raise DataError(
                f"the task is on the data set {name!r} with the content hash {wanted[:16]}, but "
                f"the data set of that name here has {found.info.content_hash[:16] or 'none'}. "
                "Sample the task again to use this one, or add the data that it was made with "
                f"(`velodrome data add {name} FILE --replace`)."
            )
        return found

    @property
    def info(self) -> DatasetInfo:
        """Facts about the data set; raises as `dataset` does.

        Raises:
          SpecError: It is not of the kind that the family trains on, or cannot be varied as
            ``data`` says.
        """
        info, kind = self.dataset.info, self.family_object.data_kind
        allowed = f"a data set of kind {kind!r} for family {self.family!r}"
        require(info.kind == kind, "data.name", self.data.name, allowed)
        kind_of(kind).check_variation(info, self.data.variation)
        return info

    @property
    def view(self) -> View:
        """How the task sees its data set; raises as `info` does."""
        info, family = self.info, self.family_object
        view = family.view(self.config, info)
        kind_of(family.data_kind).check_seen(info, view, self.data.variation)
        return view

    @property
    def hash(self) -> str:
        """The `spec_hash`; for a family that is not of this package, with its code as it is now.

        So a task whose family was edited is another task.
        """
        _, code = families.load(self.family)
        return content_hash([self.spec_hash, code]) if code else self.spec_hash

    @cached_property
    def spec_hash(self) -> str:
        """SHA-256 of the canonical JSON without the name, and without the folders of files."""
        values = self.to_json()
        values.pop("name", None)
        values["family"] = portable(self.family)
        values["data"]["name"] = portable(self.data.name)
        return content_hash(values)

    @cached_property
    def static_hash(self) -> str:
        """The hash without dynamic values: specs that share it share compiled programs."""
        values = self.to_json()
        values.pop("name", None)
        dynamic = dynamic_values(self.config)
        values["config"] = {k: v for k, v in values["config"].items() if k not in dynamic}
        if self.augmentations:
            values["augmentations"] = [entry.static_json() for entry in self.augmentations]
        return content_hash(values)

    @property
    def label(self) -> str:
        """The name, or else the family, the first digits of the hash, and how it is computed."""
        return self.name or f"{portable(self.family)}-{self.spec_hash[:8]}{self.computed}"

    @property
    def computed(self) -> str:
        """What labels say of precision and parts, such as "-bfloat16-4-parts"; mostly nothing."""
        compute, parts = self.precision.compute, self.grad_accumulation
        narrow = f"-{compute}" if compute != "float32" else ""
        return f"{narrow}-{parts}-parts" if parts > 1 else narrow

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON, without the fields that are at their default."""
        values = without_defaults(self, keep=("family", "batch_size", "version"))
        values["data"] = self.data.to_json()
        values["config"] = config_to_json(self.config)
        if "precision" in values:
            values["precision"] = self.precision.to_json()
        if self.augmentations:
            values["augmentations"] = [entry.to_json() for entry in self.augmentations]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TaskSpec:
        """Read what `to_json` wrote, or a hand-written mapping.

        Raises:
          SpecError: A key is unknown or missing, or a value is not allowed.
          UnknownNameError: There is no such family.
        """
        check_keys("spec", values, cls)
        for key in ("family", "data", "batch_size"):
            require(
                key in values,
                "spec",
                sorted(values),
                f"a mapping with the key {key!r}, as in {_EXAMPLE}",
            )
        made = dict(values)
        made.setdefault("config", {})
        check_fields("", made, _TASK_RULES)
        if isinstance(made["data"], str):
            made["data"] = {"name": made["data"]}
        made["data"] = DataSpec.from_json(made["data"])
        made["precision"] = Precision.from_json(made.get("precision", {}))
        made["augmentations"] = read_augmentations(made.get("augmentations", ()))
        return cls(**made)
