"""What a batch has: its arrays by name, and the contract of a `View`, which declares them."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

DATA, PADDING, MASK = "data", "padding", "mask"
"""What the numbers of a field are: content, 1 where nothing is, or 1 where something is."""


@dataclass(frozen=True)
class Field:
    """One array of a batch.

    Attributes:
      shape: Its shape without the first axis, which counts the examples.
      dtype: "float32" or "int32".
      meaning: What it is, in words.
      below: Integers: they are from 0 to ``below - 1``.
      role: `DATA`; or `PADDING`, a float that is 1 where there is nothing; or `MASK`, a float that
        is 1 where there is something, a weight.

    Examples:
      >>> from velodrome.taskgen.views import ImageView
      >>> ImageView(8, 1, 10).schema()["label"].below
      10
    """

    shape: tuple[int, ...]
    dtype: str
    meaning: str
    below: int = 0
    role: str = DATA


def floats(*shape: int, meaning: str, role: str = DATA) -> Field:
    """Return a field of float32."""
    return Field(shape, "float32", meaning, role=role)


def integers(*shape: int, below: int, meaning: str) -> Field:
    """Return a field of int32, from 0 to ``below - 1``."""
    return Field(shape, "int32", meaning, below)


class View(abc.ABC):
    """How a task sees a data set. Subclasses are frozen dataclasses of numbers.

    A batch is a dictionary of arrays, which `schema` declares. All of them have one row for each
    example, so that a batch can be cut anywhere: into slices, for a smaller batch, or over devices.
    What has no fixed size is padded to one.

    Attributes:
      inputs: Import string of ``function(batch, view)``, which returns what the network is called
        with. Default: the fields `input_names`, as a dictionary if there are several.
      input_names: The fields of a batch that the network may look at.
      objective: Import string of the usual ``objective(outputs, batch, view)``, which returns
        {metric: (sum, count)} with "loss".
      normalizer: Import string of the usual ``normalize(loss, view)``.
    """

    inputs: ClassVar[str] = "velodrome.taskgen.nn.inputs:fields"
    input_names: ClassVar[tuple[str, ...]]
    objective: ClassVar[str]
    normalizer: ClassVar[str]

    @property
    def numbers(self) -> int:
        """Numbers of an example, in all fields together."""
        return sum(math.prod(field.shape) for field in self.schema().values())

    @abc.abstractmethod
    def schema(self) -> Mapping[str, Field]:
        """Return the fields of a batch by name."""
