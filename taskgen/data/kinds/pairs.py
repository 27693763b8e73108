"""Pairs of token sequences, such as sentences and their translations."""

from __future__ import annotations

import numpy as np

from velodrome.foundation.errors import SpecError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo, Kind
from velodrome.taskgen.data.kinds.checks import check_count, check_integers, check_offsets
from velodrome.taskgen.data.ragged import fitting, padded
from velodrome.taskgen.data.splitview import SplitView
from velodrome.taskgen.data.variation import Variation
from velodrome.taskgen.views import PairView


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
        return PairView(source, target, getattr(config, "vocab_size", info.vocab_size))

    def see(
        self, raw: Arrays, info: DatasetInfo, view: PairView, what: str, variation: Variation
    ) -> SplitView:
        if view.vocab_size < info.vocab_size:
            wanted = f"at least {info.vocab_size}, the vocabulary of {info.name!r}"
            raise SpecError("vocab_size", view.vocab_size, wanted)
        lengths = {"source": view.source_length, "target": view.target_length}
        limits = {
            f"{name} tokens": (raw[f"{name}_offsets"], most) for name, most in lengths.items()
        }
        found = fitting(limits, what)

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
        each = token * (view.source_length + view.target_length)
        return sum(info.split_sizes.values()) * each
