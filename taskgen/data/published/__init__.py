"""The published data sets that the benchmark of Metz et al. 2022 trains on."""

from __future__ import annotations

from typing import NoReturn

from foundation.errors import DataError
from taskgen.data.info import Dataset, DatasetInfo
from taskgen.data.published.facts import INFOS

__all__ = ["DATASETS", "INFOS"]


def _dataset(info: DatasetInfo) -> Dataset:
    def load(split: str) -> NoReturn:
        raise DataError(
            f"the {split!r} split of {info.name!r} is not here: it has to be prepared from "
            f"{info.origin}, and this version of velodrome cannot read prepared data yet. Specs "
            "on it can be sampled and costed; to train, use built-in data: "
            "`velodrome sample --data built-in`, or the data sets digits, mnist5k, photos, kjv."
        )

    return Dataset(info, load)


DATASETS = tuple(_dataset(info) for info in INFOS)
