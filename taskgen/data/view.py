"""A split as a task sees it, by the kind of its data."""

from __future__ import annotations

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo, kind_of
from velodrome.taskgen.data.splitview import SplitView
from velodrome.taskgen.data.variation import NONE, Variation
from velodrome.taskgen.schema import View


def view_of(
    raw: Arrays, info: DatasetInfo, view: View, split: str, variation: Variation = NONE
) -> SplitView:
    """Return how a task sees the arrays ``raw`` of a split, ready for batches to be varied.

    Raises:
      DataError: The split is too short, too long, or lacks what the view asks for.
      SpecError: A field of the config does not suit the data.
    """
    what = f"the {split} split of {info.name!r}"
    return kind_of(info.kind).see(raw, info, view, what, split, variation)


def count_examples(info: DatasetInfo, view: View, split: str) -> int | None:
    """Count the examples of a split as a task sees it, without loading it; None if not known.

    Raises:
      DataError: The text is too short for one sequence.
    """
    return kind_of(info.kind).count(info, view, split)
