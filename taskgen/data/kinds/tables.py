"""Tables: rows of numbers, with a label or numbers to predict, and perhaps hashed categories."""

from __future__ import annotations

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.foundation.text import plural
from velodrome.taskgen.data.arrays import Arrays
from velodrome.taskgen.data.info import DatasetInfo, Kind
from velodrome.taskgen.data.kinds.checks import check_count, check_floats, check_integers
from velodrome.taskgen.data.splitview import SplitView
from velodrome.taskgen.data.text import INDEX_LIMIT
from velodrome.taskgen.data.variation import Variation
from velodrome.taskgen.views import HashedTableView, RegressionView, TableView


class Tables(Kind[TableView | RegressionView]):
    facts = (
        "the number of columns as its shape, dtype 'float32', and num_classes or, for regression, "
        "targets"
    )
    noun = "a table"

    def fits(self, info: DatasetInfo) -> bool:
        one = (info.num_classes > 0) != (info.targets > 0)
        return len(info.shape) == 1 and one and info.dtype == "float32"

    def arrays(self, info: DatasetInfo) -> tuple[str, ...]:
        return ("row", "target") if info.targets else ("row", "label")

    def unit(self, info: DatasetInfo) -> str:
        return "rows"

    def describe(self, info: DatasetInfo) -> str:
        what = f", and {plural(info.targets, 'number')} to predict" if info.targets else ""
        return f"a table of {plural(info.shape[0], 'column')}{what}"

    def verify(self, info: DatasetInfo, arrays: Arrays) -> int:
        row = arrays["row"]
        check_floats("rows", row, info.shape)
        if info.targets:
            check_floats("targets", arrays["target"], (info.targets,))
            check_count("rows", len(row), "targets", len(arrays["target"]))
        else:
            check_integers("labels", arrays["label"], info.num_classes)
            check_count("rows", len(row), "labels", len(arrays["label"]))
        return len(row)

    def view(self, config: object, info: DatasetInfo) -> TableView | RegressionView:
        if info.targets:
            return RegressionView(info.shape[0], info.targets)
        return TableView(info.shape[0], info.num_classes)

    def see(
        self,
        raw: Arrays,
        info: DatasetInfo,
        view: TableView | RegressionView,
        what: str,
        split: str,
        variation: Variation,
    ) -> SplitView:
        return SplitView(
            size=len(raw["row"]),
            nbytes=sum(array.nbytes for array in raw.values()),
            facts={"layout": "table"},
            key="table",
            whole=lambda: raw,
            rows=lambda indices: {name: array[indices] for name, array in raw.items()},
        )

    def nbytes(
        self, info: DatasetInfo, view: TableView | RegressionView, variation: Variation
    ) -> int:
        return sum(info.split_sizes.values()) * 4 * (view.columns + (info.targets or 1))

    def stored(self, info: DatasetInfo) -> int:
        return sum(info.split_sizes.values()) * 4 * (info.shape[0] + (info.targets or 1))


class HashedTables(Kind[HashedTableView]):
    facts = (
        "the numbers of columns of numbers and of categories as its shape, num_classes=2, "
        "vocab_size and dtype 'float32'"
    )
    noun = "a table"

    def fits(self, info: DatasetInfo) -> bool:
        whole = len(info.shape) == 2 and info.vocab_size > 1
        return whole and info.num_classes == 2 and info.dtype == "float32"

    def arrays(self, info: DatasetInfo) -> tuple[str, ...]:
        return ("row", "category", "label")

    def unit(self, info: DatasetInfo) -> str:
        return "rows"

    def describe(self, info: DatasetInfo) -> str:
        numbers, categories = info.shape
        return (
            f"a table of {plural(numbers, 'column')} of numbers and {categories} of categories, "
            f"with {info.vocab_size:,} hashes"
        )

    def verify(self, info: DatasetInfo, arrays: Arrays) -> int:
        row, category, label = (arrays[name] for name in self.arrays(info))
        check_floats("rows", row, info.shape[:1])
        check_integers("categories", category, info.vocab_size, info.shape[1:])
        check_integers("labels", label, 2)
        check_count("rows", len(row), "categories", len(category))
        check_count("rows", len(row), "labels", len(label))
        return len(row)

    def view(self, config: object, info: DatasetInfo) -> HashedTableView:
        columns, categories = info.shape
        vocab_size = getattr(config, "vocab_size", info.vocab_size)
        return HashedTableView(columns, categories, vocab_size)

    def see(
        self,
        raw: Arrays,
        info: DatasetInfo,
        view: HashedTableView,
        what: str,
        split: str,
        variation: Variation,
    ) -> SplitView:
        vocab_size = min(view.vocab_size, info.vocab_size)
        if len(raw["label"]) >= INDEX_LIMIT:
            raise DataError(
                f"{what} has {len(raw['label']):,} rows; at most {INDEX_LIMIT - 1:,} can be "
                "indexed. Prepare fewer of the files."
            )

        def rows(indices: np.ndarray | slice) -> Arrays:
            found = {name: array[indices] for name, array in raw.items()}
            # Folded here, so that a code of more than 31 bits fits on the device.
            return {**found, "category": (found["category"] % vocab_size).astype(np.int32)}

        return SplitView(
            size=len(raw["label"]),
            nbytes=len(raw["label"]) * 4 * (sum(info.shape) + 1),
            facts={"layout": "hashed table", "vocab_size": vocab_size},
            key=("hashed table", vocab_size),
            whole=lambda: rows(slice(None)),
            rows=rows,
        )

    def nbytes(self, info: DatasetInfo, view: HashedTableView, variation: Variation) -> int:
        return sum(info.split_sizes.values()) * 4 * (sum(info.shape) + 1)

    def stored(self, info: DatasetInfo) -> int:
        return sum(info.split_sizes.values()) * 4 * (sum(info.shape) + 1)
