"""The original files of MNIST and Fashion-MNIST: IDX, compressed or not.

A file is a magic number (two zero bytes, the type 8 for unsigned bytes, the number of axes), the
lengths as big-endian 32-bit numbers, and the bytes.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.base import Reader, memory_reader
from velodrome.taskgen.data.published.sources import RawFile, find_files

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""Files of each split of TFDS."""


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file, compressed with gzip or not, to u8 of the shape that its header says."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is damaged: {error}. Fetch it again.") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError(
            f"{path} is no IDX file of unsigned bytes: it begins with {content[:4].hex(' ')}, "
            "not with 00 00 08. Give the original files."
        )
    axes = content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise DataError(
            f"{path} is cut off: it ends inside its header of {start} bytes. Fetch it again."
        )
    shape = struct.unpack(f">{axes}I", content[4:start])
    values = np.frombuffer(content, np.uint8, offset=start)
    if values.size != math.prod(shape):
        raise DataError(
            f"{path} is cut off or damaged: its header says {'x'.join(map(str, shape))} bytes, "
            f"and it has {values.size}. Fetch it again."
        )
    return values.reshape(shape)


def open_idx(info: DatasetInfo, directory: Path, files: tuple[RawFile, ...]) -> Reader | None:
    """Read MNIST or Fashion-MNIST from its four original files, compressed or not."""
    wanted = [name for names in NAMES.values() for name in names]
    paths, record, published = find_files(info.name, directory, files, wanted)
    if not paths:
        return None
    arrays = {}
    for split, (images, labels) in NAMES.items():
        image, label = read_idx(paths[images]), read_idx(paths[labels])
        arrays[split] = image[..., None], label
    return memory_reader("IDX files", info, arrays, files=record, published=published)
