"""`DataSpec`: which data set a task is on, and how its training examples vary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from velodrome.taskgen.data.variation import LARGEST_MAGNITUDE, Variation
from velodrome.taskgen.specrules import (
    STRING,
    check_fields,
    check_keys,
    integer,
    require,
    without_defaults,
)

_RULES = {
    "name": STRING,
    "shift": integer(0, 64),
    "flip": ((lambda value: type(value) is bool), "true or false"),
    "crop": (
        (lambda value: type(value) in (int, float) and 0 <= value <= 1),
        "a share of the area from 0 to 1",
    ),
    "randaugment": integer(0, 16),
    "magnitude": integer(0, LARGEST_MAGNITUDE),
    "hash": (
        (lambda value: type(value) is str and re.fullmatch("([0-9a-f]{64})?", value) is not None),
        "a content hash: 64 hexadecimal digits",
    ),
}


@dataclass(frozen=True)
class DataSpec:
    """Which data set, and its random augmentation while training.

    Args:
      name: Name of a registered data set.
      shift: Images only: each training image moves by up to this many pixels in both directions,
        with zeros moving in. 0 is none.
      flip: Images only: each training image is mirrored left to right with probability 1/2.
      crop: Images only: of each training image a random part is seen, of at least this share of
        its area, resized (bicubic) to the size that the task sees. Evaluation sees the middle 7/8
        of each side. 0: the whole image, always. Not together with ``shift``.
      randaugment: Images only: how many random operations of RandAugment each training image goes
        through, after all else. 0 is none.
      magnitude: How strong these operations are, from 0 to 10.
      hash: Content hash of the data set, which it must have. Sampled tasks on a user's own data
        have it: elsewhere another file may have the same name. Empty: any.

    Raises:
      SpecError: A value has the wrong type or is out of range.

    Examples:
      >>> velodrome.DataSpec("digits", shift=2).to_json()
      {'name': 'digits', 'shift': 2}
    """

    name: str
    shift: int = 0
    flip: bool = False
    crop: float = 0.0
    randaugment: int = 0
    magnitude: int = LARGEST_MAGNITUDE
    hash: str = ""

    def __post_init__(self):
        check_fields("data.", vars(self), _RULES)
        require(
            not (self.crop and self.shift), "data.shift", self.shift, "0 where data.crop is not"
        )
        plain = self.randaugment > 0 or self.magnitude == LARGEST_MAGNITUDE
        require(plain, "data.magnitude", self.magnitude, "left out where data.randaugment is 0")
        # Equal specs have equal hashes, however the number is written.
        object.__setattr__(self, "crop", float(self.crop))

    @property
    def variation(self) -> Variation:
        """How training examples are varied at random."""
        return Variation(self.shift, self.flip, self.crop, self.randaugment, self.magnitude)

    def to_json(self) -> dict[str, Any]:
        """Return the name, and what is not at its default."""
        return without_defaults(self, keep=("name",))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataSpec:
        """Read what `to_json` wrote, or check a hand-written mapping."""
        check_keys("data", values, cls)
        require("name" in values, "data", dict(values), "a mapping with the key 'name'")
        check_fields("data.", values, _RULES)
        return cls(**values)
