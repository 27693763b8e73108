"""CIFAR-10 and CIFAR-100, packed or unpacked: the original "binary" and "Python" versions.

A record is one label byte (CIFAR-100: two, the coarse label and the fine one) and 3,072 bytes of
pixels: the red, the green and the blue plane of 32x32. The Python version holds the same arrays.
"""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.archives import open_archive
from velodrome.taskgen.data.published.readers.base import Reader, memory_reader
from velodrome.taskgen.data.published.sources import FileFacts, RawFile, find_files, is_published

BINARY: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cifar10": {
        "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test": ("test_batch.bin",),
    },
    "cifar100": {"train": ("train.bin",), "test": ("test.bin",)},
}
"""Files of each split of TFDS."""
PICKLED = {
    name: {
        split: tuple(file.removesuffix(".bin") for file in files) for split, files in parts.items()
    }
    for name, parts in BINARY.items()
}
"""Files of the Python version, as torchvision and copies at Kaggle have them."""

_PIXELS = 3 * 32 * 32


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


def read_pickle(content: bytes, *, key: str, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the images u8[N,32,32,3] and labels u8[N] of the pickle ``what``, without unpickling.

    A pickle is a program, and running it can do anything; here its instructions are only read. The
    longest text in it are the pixels, and the numbers after the text ``key`` are the labels.
    """
    pixels, labels, last, by_columns = b"", [], "", False
    try:
        for code, value, _ in pickletools.genops(content):
            if isinstance(value, str | bytes | bytearray):
                data = value.encode("latin1", "replace") if isinstance(value, str) else bytes(value)
                pixels = data if len(data) >= max(_PIXELS, len(pixels)) else pixels
                last = data[:32].decode("latin1")
            elif last == key and code.name in ("BININT1", "BININT", "BININT2", "INT"):
                labels.append(value)
            elif code.name in ("NEWTRUE", "NEWFALSE") and not pixels:
                by_columns = code.name == "NEWTRUE"  # the last one before the pixels
        if by_columns:
            raise ValueError("its pixels are stored by columns")
        image = np.frombuffer(pixels, np.uint8).reshape(len(labels), 3, 32, 32)
        label = np.array(labels, np.uint8)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{what} is cut off, or no file of the Python version of CIFAR ({error}). Fetch it "
            "again."
        ) from error
    return np.ascontiguousarray(image.transpose(0, 2, 3, 1)), label


def open_cifar(info: DatasetInfo, directory: Path, files: tuple[RawFile, ...]) -> Reader | None:
    """Read CIFAR-10 or CIFAR-100 from an archive or from unpacked files.

    The published binary version has precedence over the Python version.
    """
    binary = files[0].name
    for form, names, name in (
        ("CIFAR binaries", BINARY[info.name], binary),
        ("CIFAR pickles", PICKLED[info.name], binary.replace("-binary", "-python")),
    ):
        wanted = [file for group in names.values() for file in group]
        archive = directory / name
        if archive.is_file():
            content = _unpack(archive, wanted)
            record = {archive.name: FileFacts.of(archive)}
            published = is_published(record, files)
        else:
            paths, record, published = find_files(info.name, directory, (), wanted)
            content = {file: path.read_bytes() for file, path in paths.items()}
        if not content:
            continue
        splits: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for split, group in names.items():
            parts = [_read(info.name, content[file], file) for file in group]
            images, numbers = zip(*parts, strict=True)
            splits[split] = np.concatenate(images), np.concatenate(numbers)
        return memory_reader(form, info, splits, files=record, published=published)
    return None


def _read(name: str, content: bytes, file: str) -> tuple[np.ndarray, np.ndarray]:
    fine = name == "cifar100"
    if file.endswith(".bin"):
        return read_records(content, labels=2 if fine else 1, what=file)
    return read_pickle(content, key="fine_labels" if fine else "labels", what=file)


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
