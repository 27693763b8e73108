"""How training images are varied at random: plain data, with the fields of a `DataSpec`."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_MAGNITUDE = 10
"""How strong an operation of RandAugment may be."""


@dataclass(frozen=True)
class Variation:
    """Random changes of training images; `velodrome.DataSpec` says what the fields mean."""

    shift: int = 0
    flip: bool = False
    crop: float = 0.0
    randaugment: int = 0
    magnitude: int = LARGEST_MAGNITUDE

    @property
    def chosen(self) -> dict[str, int | float]:
        """The fields that are not at their default."""
        return {name: value for name, value in vars(self).items() if value != getattr(NONE, name)}


NONE = Variation()
"""Images stay as they are."""
