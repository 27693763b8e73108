"""Text: one long stream of tokens, or separate texts."""

from __future__ import annotations

import functools

import numpy as np

from velodrome.foundation.errors import DataError, SpecError
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo, Kind
from velodrome.taskgen.data.kinds.checks import SplitError, check_integers, check_offsets
from velodrome.taskgen.data.splitview import SplitView
from velodrome.taskgen.data.text import INDEX_LIMIT, count_windows, example_rows, fold, window_rows
from velodrome.taskgen.data.variation import Variation
from velodrome.taskgen.views import TextView


class Texts(Kind[TextView]):
    facts = "vocab_size"
    noun = "text"
    gather = "velodrome.taskgen.data.gather:gather_text"

    def fits(self, info: DatasetInfo) -> bool:
        return not info.shape and info.vocab_size > 1

    def arrays(self, info: DatasetInfo) -> tuple[str, ...]:
        return ("tokens", "offsets") if info.layout == "examples" else ("tokens",)

    def unit(self, info: DatasetInfo) -> str:
        return "tokens" if info.layout == "stream" else "texts"

    def describe(self, info: DatasetInfo) -> str:
        return f"text, with a vocabulary of {info.vocab_size:,}"

    def verify(self, info: DatasetInfo, arrays: Arrays) -> int:
        tokens = arrays["tokens"]
        check_integers("tokens", tokens, info.vocab_size)
        if info.layout == "stream":
            return len(tokens)
        lengths = check_offsets("tokens", arrays["offsets"], len(tokens))
        for at in (lengths > (info.example_tokens or len(tokens))).nonzero()[0][:1]:
            kept = f"example_tokens={info.example_tokens} is declared"
            raise SplitError(f"has a text of {lengths[at]} tokens, number {at}, but {kept}")
        return len(lengths)

    def view(self, config: object, info: DatasetInfo) -> TextView:
        length = getattr(config, "sequence_length", None)
        if length is None:
            raise SpecError("config.sequence_length", None, "a field of every text family's config")
        return TextView(length, getattr(config, "vocab_size", info.vocab_size))

    def see(
        self,
        raw: Arrays,
        info: DatasetInfo,
        view: TextView,
        what: str,
        split: str,
        variation: Variation,
    ) -> SplitView:
        # A vocabulary larger than that of the data changes nothing: arrays and hash are shared.
        vocab_size = min(view.vocab_size, info.vocab_size)
        if info.layout == "examples":
            return _examples(raw, info, view.length, vocab_size, what)
        return _windows(raw, view.length, vocab_size, what)

    def nbytes(self, info: DatasetInfo, view: TextView, variation: Variation) -> int:
        token = 1 if info.vocab_size <= 259 else 2  # bytes, and the ids around them, fit into one
        each = view.length + 1 if info.layout == "examples" else 1
        return sum(info.split_sizes.values()) * token * each

    def count(self, info: DatasetInfo, view: TextView, split: str) -> int | None:
        """Count the windows or texts of a split; too short a text raises a `DataError`."""
        size = info.split_sizes.get(split)
        if size is None or info.layout == "examples":
            return size
        return count_windows(size, view.length, f"the {split} split of {info.name!r}")

    def stored(self, info: DatasetInfo) -> int:
        if info.layout == "examples":  # the number of their tokens is not fixed
            return 0
        return sum(info.split_sizes.values()) * np.min_scalar_type(info.vocab_size - 1).itemsize

    def options(self, view: TextView, variation: Variation) -> dict[str, object]:
        return {"length": view.length}


def _windows(raw: Arrays, length: int, vocab_size: int, what: str) -> SplitView:
    tokens = raw["tokens"]
    return SplitView(
        size=count_windows(tokens.shape[0], length, what),
        nbytes=tokens.nbytes,
        facts={"length": length, "vocab_size": vocab_size},
        key=("windows", vocab_size),
        whole=lambda: {"tokens": fold(tokens, vocab_size)},
        rows=functools.partial(window_rows, raw, length=length, vocab_size=vocab_size),
    )


def _examples(raw: Arrays, info: DatasetInfo, length: int, vocab_size: int, what: str) -> SplitView:
    if info.example_tokens and length + 1 > info.example_tokens:
        raise DataError(
            f"only the first {info.example_tokens} tokens are kept of each text of {what}, not "
            f"enough for a sequence of {length} and the token after it; choose a sequence length "
            f"of at most {info.example_tokens - 1}."
        )
    size = len(raw["offsets"]) - 1
    if size >= INDEX_LIMIT:
        raise DataError(f"{what} has {size} texts; at most {INDEX_LIMIT - 1} can be indexed.")
    rows = functools.partial(example_rows, raw, length=length, vocab_size=vocab_size)
    return SplitView(
        size=size,
        nbytes=size * (length + 1) * raw["tokens"].itemsize,
        facts={"layout": "examples", "length": length, "vocab_size": vocab_size},
        key=("examples", length, vocab_size),
        whole=lambda: rows(None),
        rows=rows,
    )
