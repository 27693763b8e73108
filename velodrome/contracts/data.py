"""What every data set must do, as a table of checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import SPLITS, Dataset
from velodrome.taskgen.data.verify import load, require_hashes, verify_facts, verify_hash


@dataclass(frozen=True, eq=False)
class Subject:
    """A data set under test."""

    dataset: Dataset

    @cached_property
    def arrays(self) -> dict[str, Arrays]:
        """The arrays of all splits, loaded once for all checks."""
        return {split: load(self.dataset, split) for split in SPLITS}


def check_loading(subject: Subject) -> None:
    """Both splits can be loaded."""
    assert subject.arrays.keys() == set(SPLITS)


def check_facts(subject: Subject) -> None:
    """Arrays, shapes, types, labels, tokens, pixels and sizes are what is declared."""
    for split, arrays in subject.arrays.items():
        verify_facts(subject.dataset.info, split, arrays)


def check_hash(subject: Subject) -> None:
    """The content hash of each split is declared, and it is that of the arrays."""
    found = {
        split: verify_hash(subject.dataset, split, arrays)
        for split, arrays in subject.arrays.items()
    }
    require_hashes(subject.dataset, found)


#: The contract, by name.
CHECKS: dict[str, Callable[[Subject], None]] = {
    "loading": check_loading,
    "facts": check_facts,
    "hash": check_hash,
}
