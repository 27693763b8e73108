"""Pairs of token sequences, such as sentences and their translations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo, Kind
from velodrome.taskgen.data.kinds.checks import check_count, check_integers, check_offsets
from velodrome.taskgen.data.packing import SEGMENT, first_of_rows, joined
from velodrome.taskgen.data.ragged import counts, fitting, padded
from velodrome.taskgen.data.splitview import SplitView
from velodrome.taskgen.data.variation import Variation
from velodrome.taskgen.views import PackedPairView, PairView

_CHUNK = 50_000  # packed rows that are made at a time, so that arrays of indices stay small


class Pairs(Kind[PairView]):
    """Arrays: source int[M], source_offsets i64[N+1], target int[K], target_offsets i64[N+1]."""

    facts = "vocab_size, that of both sequences"
    noun = "pairs of sequences"

    def fits(self, info: DatasetInfo) -> bool:
        return not info.shape and info.vocab_size > 1

    def arrays(self, info: DatasetInfo) -> tuple[str, ...]:
        return ("source", "source_offsets", "target", "target_offsets")

    def unit(self, info: DatasetInfo) -> str:
        return "pairs"

    def describe(self, info: DatasetInfo) -> str:
        return f"pairs of sequences, with a vocabulary of {info.vocab_size:,}"

    def verify(self, info: DatasetInfo, arrays: Arrays) -> int:
        sizes = []
        for name in ("source", "target"):
            tokens = arrays[name]
            check_integers(f"{name} tokens", tokens, info.vocab_size)
            lengths = check_offsets(f"{name} tokens", arrays[f"{name}_offsets"], len(tokens))
            sizes.append(len(lengths))
        check_count("sources", sizes[0], "targets", sizes[1])
        return sizes[0]

    def view(self, config: object, info: DatasetInfo) -> PairView:
        both = getattr(config, "sequence_length", None)
        source = getattr(config, "source_length", both)
        target = getattr(config, "target_length", both)
        if source is None or target is None:
            wanted = "this or source_length and target_length in the config of a family for pairs"
            raise SpecError("config.sequence_length", None, wanted)
        kind = PackedPairView if getattr(config, "packed", False) else PairView
        return kind(source, target, getattr(config, "vocab_size", info.vocab_size))

    def see(
        self,
        raw: Arrays,
        info: DatasetInfo,
        view: PairView,
        what: str,
        split: str,
        variation: Variation,
    ) -> SplitView:
        if view.vocab_size < info.vocab_size:
            wanted = f"at least {info.vocab_size}, the vocabulary of {info.name!r}"
            raise SpecError("vocab_size", view.vocab_size, wanted)
        lengths = {"source": view.source_length, "target": view.target_length}
        limits = {
            f"{name} tokens": (raw[f"{name}_offsets"], most) for name, most in lengths.items()
        }
        found = fitting(limits, what)
        if isinstance(view, PackedPairView):
            return _packed(raw, found, lengths, whole_rows=split == "train")

        def rows(indices: np.ndarray | slice) -> Arrays:
            chosen = found[indices]
            return {
                name: padded(raw[name], raw[f"{name}_offsets"], chosen, most)
                for name, most in lengths.items()
            }

        size = sum(most * raw[name].itemsize for name, most in lengths.items())
        return SplitView(
            size=len(found),
            nbytes=len(found) * size,
            facts={"layout": "pairs", **lengths},
            key=("pairs", *lengths.values()),
            whole=lambda: rows(slice(None)),
            rows=rows,
        )

    def nbytes(self, info: DatasetInfo, view: PairView, variation: Variation) -> int:
        token = 1 if info.vocab_size <= 256 else 2 if info.vocab_size <= 2**16 else 4
        if isinstance(view, PackedPairView):
            token += np.dtype(SEGMENT).itemsize  # how many rows there are is not known: at most all
        each = token * (view.source_length + view.target_length)
        return sum(info.split_sizes.values()) * each

    def count(self, info: DatasetInfo, view: PairView, split: str) -> int | None:
        """Count the pairs of a split; how many rows they are packed into is not known."""
        packed = isinstance(view, PackedPairView) and split == "train"
        return None if packed else super().count(info, view, split)


def _packed(
    raw: Arrays, found: np.ndarray, lengths: Mapping[str, int], *, whole_rows: bool
) -> SplitView:
    """Return how a task sees the pairs ``found``: packed into rows, or one in each."""
    sizes = {name: counts(raw[f"{name}_offsets"], found) for name in lengths}
    if whole_rows:
        first = first_of_rows(list(sizes.values()), list(lengths.values()))
    else:
        first = np.arange(len(found) + 1)

    def rows(indices: np.ndarray | slice) -> Arrays:
        numbers = np.arange(len(first) - 1)[indices]
        parts = [_rows(numbers[at : at + _CHUNK]) for at in range(0, len(numbers), _CHUNK)]
        parts = parts or [_rows(numbers)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _rows(numbers: np.ndarray) -> Arrays:
        each = first[numbers + 1] - first[numbers]
        begin = np.repeat(first[numbers], each)
        number = np.arange(len(begin)) - np.repeat(np.cumsum(each) - each, each)
        pairs = found[begin + number]
        row = np.repeat(np.arange(len(numbers)), each)
        made: Arrays = {}
        for name, length in lengths.items():
            made |= joined(raw, name, pairs, row, number + 1, (len(numbers), length))
        return made

    size = sum(
        most * (raw[name].itemsize + np.dtype(SEGMENT).itemsize) for name, most in lengths.items()
    )
    layout = "packed pairs" if whole_rows else "pairs of packed ones"
    return SplitView(
        size=len(first) - 1,
        nbytes=(len(first) - 1) * size,
        facts={"layout": layout, **lengths},
        key=(layout, *lengths.values()),
        whole=lambda: rows(slice(None)),
        rows=rows,
    )
