"""The original "binary version" of CIFAR-10 and CIFAR-100, packed or unpacked.

A record is one label byte (CIFAR-100: two, the coarse label and the fine one) and 3,072 bytes of
pixels: the red, the green and the blue plane of 32x32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.archives import open_archive
from velodrome.taskgen.data.published.readers.base import Reader, memory_reader
from velodrome.taskgen.data.published.sources import FileFacts, RawFile, find_files, is_published

FILES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cifar10": {
        "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test": ("test_batch.bin",),
    },
    "cifar100": {"train": ("train.bin",), "test": ("test.bin",)},
}
"""Files of each split of TFDS."""

_PIXELS = 3 * 32 * 32
_PYTHON_VERSION = ("data_batch_1", "test_batch", "batches.meta", "meta")


def read_records(content: bytes, *, labels: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the images u8[N,32,32,3] and labels u8[N] of the file ``what``.

    A record has ``labels`` label bytes; the last one is the label.
    """
    size = labels + _PIXELS
    if not content or len(content) % size:
        raise DataError(
            f"{what} is cut off, or no file of the binary version of CIFAR: it has "
            f"{len(content):,} bytes, which is no multiple of {size:,}. Fetch it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    image = records[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(image), records[:, labels - 1]


def open_cifar(info: DatasetInfo, directory: Path, files: tuple[RawFile, ...]) -> Reader | None:
    """Read CIFAR-10 or CIFAR-100 from the published archive, or from its unpacked files."""
    names = FILES[info.name]
    wanted = [name for group in names.values() for name in group]
    archive = directory / files[0].name
    if archive.is_file():
        content = _unpack(archive, wanted)
        record = {archive.name: FileFacts.of(archive)}
        published = is_published(record, files)
    else:
        paths, record, published = find_files(info.name, directory, (), wanted)
        if not paths:
            _refuse_pickles(info, directory)
            return None
        content = {name: path.read_bytes() for name, path in paths.items()}
    labels = 2 if info.name == "cifar100" else 1
    splits: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for split, group in names.items():
        parts = [read_records(content[name], labels=labels, what=name) for name in group]
        images, numbers = zip(*parts, strict=True)
        splits[split] = np.concatenate(images), np.concatenate(numbers)
    return memory_reader("CIFAR binaries", info, splits, files=record, published=published)


def _unpack(archive: Path, wanted: list[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with open_archive(archive) as members:
        for member in members:
            name = member.name.rpartition("/")[2]
            file = members.extractfile(member) if name in wanted else None
            if file is not None:
                found[name] = file.read()
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(f"{archive} lacks {', '.join(missing)}; fetch the published archive.")
    return found


def _refuse_pickles(info: DatasetInfo, directory: Path) -> None:
    found = [*directory.glob("cifar-*-python*"), *directory.glob("*/data_batch_1")]
    found += [directory / name for name in _PYTHON_VERSION if (directory / name).is_file()]
    if found:
        raise DataError(
            f"{found[0]} is the Python version of CIFAR, which is pickled; nothing is unpickled "
            f"here, because a pickle can run any program. Give the binary version: "
            f"`velodrome data prepare {info.name} --download` fetches it."
        )
