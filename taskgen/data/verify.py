"""Whether the arrays of a data set are what it declares; the first bad example is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from velodrome.foundation.errors import DataError, VelodromeError
from velodrome.taskgen.data.arrays import Arrays, hash_arrays
from velodrome.taskgen.data.info import SPLITS, Dataset, DatasetInfo
from velodrome.taskgen.data.published.recipes import how_to_get

_CHUNK_BYTES = 2**26  # looked at together, so that mapped files need not fit in memory


def verify(dataset: Dataset) -> None:
    """Load all splits, and compare them with every declared fact.

    Raises:
      DataError: A split cannot be loaded, or is not what the data set declares, or no hash is
        declared: the message then has the hashes to declare.
    """
    require_hashes(
        dataset, {split: verify_split(dataset, split, load(dataset, split)) for split in SPLITS}
    )


def verify_split(dataset: Dataset, split: str, arrays: Arrays) -> str:
    """Compare a split with the declared facts and hash, and return its hash.

    Raises:
      DataError: It is something else; the message names the first example that is wrong.
    """
    verify_facts(dataset.info, split, arrays)
    return verify_hash(dataset, split, arrays)


def load(dataset: Dataset, split: str) -> Arrays:
    """Load a split; whatever its loader raises becomes a `DataError`."""
    try:
        arrays = dataset.load(split)
    except VelodromeError:
        raise
    except Exception as error:  # a user's loader may raise anything
        raise DataError(
            f"loading the {split} split of {dataset.name!r} failed: {type(error).__name__}: {error}"
        ) from error
    if isinstance(arrays, Mapping):
        return dict(arrays)
    raise DataError(
        f"loading the {split} split of {dataset.name!r} gave {type(arrays).__name__}, not a "
        f"mapping with {' and '.join(map(repr, dataset.info.array_names))}."
    )


def verify_facts(info: DatasetInfo, split: str, arrays: Arrays) -> None:
    """Compare a split with everything but its hash; the error names the first bad example."""
    try:
        _verify_names(info, arrays)
        size = _VERIFY[info.kind](info, arrays)
        declared = info.split_sizes.get(split, size)
        if size != declared:
            raise _Wrong(f"has {size:,} {unit(info)}, but {declared:,} are declared")
    except _Wrong as error:
        raise DataError(f"the {split} split of {info.name!r} {error}.") from None


def verify_hash(dataset: Dataset, split: str, arrays: Arrays) -> str:
    """Return the content hash of a split; raise a `DataError` if another one is declared."""
    recorded = dataset.info.split_hashes.get(split)
    if dataset.verified and recorded:
        return recorded
    found = hash_arrays(arrays)
    if recorded not in (None, found):
        raise DataError(
            f"the {split!r} split of {dataset.name!r} has the content hash {found}, but {recorded} "
            "is recorded for it; load the recorded data, or give the changed data another name."
        )
    return found


def require_hashes(dataset: Dataset, found: Mapping[str, str]) -> None:
    """Raise a `DataError` that says what to declare, unless each split has a declared hash."""
    if problem := hash_problem(dataset):
        raise DataError(f"{problem} Declare what it loads now: split_hashes={dict(found)}.")


def hash_problem(dataset: Dataset) -> str:
    """Return what is wrong if a split has no declared hash, or the empty string.

    Published data have hashes once they are prepared.
    """
    if dataset.info.content_hash or how_to_get(dataset.name):
        return ""
    return (
        f"{dataset.name!r} has no declared content hash of each split, so results cannot name it."
    )


class _Wrong(Exception):  # noqa: N818 - half a sentence, which becomes a DataError
    """What is wrong with a split, as the predicate of a sentence about it."""


def _verify_names(info: DatasetInfo, arrays: Arrays) -> None:
    if sorted(arrays) != sorted(info.array_names):
        raise _Wrong(f"has the arrays {sorted(arrays)}, but needs {sorted(info.array_names)}")
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise _Wrong(f"has a {type(array).__name__} as {name!r}, not an array of numpy")


def _verify_images(info: DatasetInfo, arrays: Arrays) -> int:
    image, label = arrays["image"], arrays["label"]
    if image.ndim != 4 or image.shape[1:] != info.shape:
        shapes = f"{list(image.shape[1:])}, but {list(info.shape)} is declared"
        raise _Wrong(f"has images of the shape {shapes}")
    if image.dtype != info.dtype:
        raise _Wrong(f"has images of {image.dtype}, but {info.dtype} is declared")
    _verify_integers("labels", label, info.num_classes)
    if len(label) != len(image):
        raise _Wrong(f"has {len(image):,} images, but {len(label):,} labels")
    if image.dtype.kind == "f":
        # NaN is not inside either: every comparison with it is false.
        at = _first_bad(image, lambda part: (part >= 0) & (part <= 255))
        if at is not None:
            pixels = image[at].reshape(-1)
            worst = pixels[~((pixels >= 0) & (pixels <= 255))][0]
            raise _Wrong(f"has the pixel {worst} in example {at}; pixels are from 0 to 255")
    return len(image)


def _verify_table(info: DatasetInfo, arrays: Arrays) -> int:
    row, label = arrays["row"], arrays["label"]
    if row.dtype != np.float32 or row.ndim != 2 or row.shape[1:] != info.shape:
        found = f"{row.dtype}{list(row.shape)}"
        raise _Wrong(f"has rows {found}, but float32[N, {info.shape[0]}] is declared")
    _verify_integers("labels", label, info.num_classes)
    if len(label) != len(row):
        raise _Wrong(f"has {len(row):,} rows, but {len(label):,} labels")
    at = _first_bad(row, np.isfinite)
    if at is not None:
        raise _Wrong(f"has a value that is not finite in row {at}")
    return len(row)


def _verify_text(info: DatasetInfo, arrays: Arrays) -> int:
    tokens = arrays["tokens"]
    _verify_integers("tokens", tokens, info.vocab_size)
    if info.layout == "stream":
        return len(tokens)
    offsets = arrays["offsets"]
    _verify_integers("offsets", offsets, len(tokens) + 1)
    ends = (int(offsets[0]), int(offsets[-1])) if len(offsets) else ()
    if ends != (0, len(tokens)):
        raise _Wrong(f"has offsets from {list(ends)}, not from 0 to the {len(tokens)} tokens")
    lengths = np.diff(offsets.astype(np.int64))
    for at in np.flatnonzero(lengths < 0)[:1]:
        raise _Wrong(f"has offsets that fall at {at + 1}, from {offsets[at]} to {offsets[at + 1]}")
    for at in np.flatnonzero(lengths > (info.example_tokens or len(tokens)))[:1]:
        kept = f"example_tokens={info.example_tokens} is declared"
        raise _Wrong(f"has a text of {lengths[at]} tokens, number {at}, but {kept}")
    return len(offsets) - 1


def _verify_integers(what: str, array: np.ndarray, limit: int) -> None:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        found = f"{array.dtype} of the shape {list(array.shape)}"
        raise _Wrong(f"has {what} that are {found}, not a row of integers")
    at = _first_bad(array, lambda part: (part >= 0) & (part < limit))
    if at is not None:
        raise _Wrong(f"has {array[at]} among its {what}, at {at}; they are from 0 to {limit - 1}")


def _first_bad(array: np.ndarray, fine: Callable[[np.ndarray], np.ndarray]) -> int | None:
    """Return the index of the first row with an element that is not fine, or None."""
    rows = max(1, _CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        found = fine(array[start : start + rows])
        bad = np.flatnonzero(~found.reshape(len(found), -1).all(axis=1))
        if bad.size:
            return start + int(bad[0])
    return None


_VERIFY = {"image": _verify_images, "table": _verify_table, "text": _verify_text}


def unit(info: DatasetInfo) -> str:
    """Return what the examples of a data set are, in the plural."""
    if info.kind == "text":
        return "tokens" if info.layout == "stream" else "texts"
    return {"image": "images", "table": "rows"}[info.kind]
