"""Original files of published data sets: which they are, where they lie, if they are genuine."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from velodrome.foundation.errors import DataError
from velodrome.foundation.files import sha256_file


@dataclass(frozen=True)
class RawFile:
    """A file as it was published.

    Attributes:
      url: Its address.
      size: In bytes.
      content: The MD5 of what is packed in it, where that is known: it tells files that were only
        packed anew from other data.
    """

    url: str
    size: int
    sha256: str
    content: str = ""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class FileFacts:
    """The size and the SHA-256 of a file that was read; ``content`` as that of a `RawFile`."""

    bytes: int
    sha256: str
    content: str = ""

    @classmethod
    def of(cls, path: Path, *, content: bool = False) -> FileFacts:
        size, sha256 = path.stat().st_size, sha256_file(path)
        return cls(size, sha256, _content_hash(path) if content else "")


def _content_hash(path: Path) -> str:
    """Return the MD5 of a file, or of what gzip has packed in it; empty if it is damaged."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()  # pyright: ignore[reportArgumentType]
    except (OSError, EOFError, zlib.error):
        return ""


# Sizes and SHA-256 as in the checksum files of tensorflow-datasets 4.9.10; the MD5 of unpacked
# files as several public projects give them.
_IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def _files(base: str, names: Sequence[str], *facts: tuple[int, str, str]) -> tuple[RawFile, ...]:
    return tuple(RawFile(base + name, *fact) for name, fact in zip(names, facts, strict=True))


MNIST = _files(
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    _IDX_FILES,
    (
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "6bbc9ace898e44ae57da46a324031adb",
    ),
    (
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "a25bea736e30d166cdddb491f175f624",
    ),
    (
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "2646ac647ad5339dbf082846283269ea",
    ),
    (
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "27ae3e4e09519cfbb04c329615203637",
    ),
)
FASHION_MNIST = _files(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    _IDX_FILES,
    (
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    ),
    (
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "9018921c3c673c538a1fc5bad174d6f9",
    ),
    (
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "8181f5470baa50b63fa0f6fddb340f0a",
    ),
    (
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
)
LM1B = _files(
    "http://www.statmt.org/lm-benchmark/",
    ["1-billion-word-language-modeling-benchmark-r13output.tar.gz"],
    (1_792_209_805, "01ba60381110baf7f189dfd2b8374de371e8c9a340835793f190bdae9e90a34e", ""),
)
CIFAR10 = _files(
    "https://www.cs.toronto.edu/~kriz/",
    ["cifar-10-binary.tar.gz"],
    (170_052_171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", ""),
)
CIFAR100 = _files(
    "https://www.cs.toronto.edu/~kriz/",
    ["cifar-100-binary.tar.gz"],
    (168_513_733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", ""),
)
FOOD101 = _files(
    "http://data.vision.ee.ethz.ch/cvl/",
    ["food-101.tar.gz"],
    (4_996_278_331, "d97d15e438b7f4498f96086a4f7e2fa42a32f2712e87d3295441b2b6314053a4", ""),
)


def find_files(
    name: str, directory: Path, files: Sequence[RawFile], wanted: Sequence[str]
) -> tuple[dict[str, Path], dict[str, FileFacts], bool | None]:
    """Find the ``wanted`` files of the data set ``name``, compressed with gzip or not.

    They lie in the directory, or in one right below it, or in a folder ``raw`` of that, as
    torchvision keeps them; if in several, in that of the data set's name.

    Returns:
      Their paths by name, empty if none of them is there; what to record about them; and whether
      they are the published ``files``, see :func:`is_published`.

    Raises:
      DataError: Some of them are missing, or nothing says which of several folders is right.
    """
    folder, paths = _find(name, directory, wanted)
    missing = [file for file in wanted if file not in paths]
    if paths and missing:
        raise DataError(
            f"{folder} has {', '.join(path.name for path in paths.values())}, but lacks "
            f"{', '.join(missing)}. Put all files of the data set there."
        )
    compare = any(file.content for file in files)
    record = {path.name: FileFacts.of(path, content=compare) for path in paths.values()}
    return paths, record, is_published(record, files)


def is_published(record: Mapping[str, FileFacts], files: Sequence[RawFile]) -> bool | None:
    """Return whether files, by name, are the published ones, packed in any way.

    None if this is not known: of some files, only hashes of what is downloaded are published.
    """
    known = {file.name: file.sha256 for file in files}
    contents = {file.content for file in files if file.content}

    def genuine(name: str, facts: FileFacts) -> bool | None:
        if facts.content in contents or facts.sha256 == known.get(name):
            return True
        return False if name in known or (contents and facts.content) else None

    found = {genuine(name, facts) for name, facts in record.items()}
    return False if False in found else (True if found == {True} else None)


def _find(name: str, directory: Path, wanted: Sequence[str]) -> tuple[Path, dict[str, Path]]:
    """Return the folder that has files of a data set, and which of the wanted ones it has."""
    here = _files_in(directory, wanted)
    if here:
        return directory, here
    folders = sorted(path for path in directory.iterdir() if path.is_dir())
    folders = [inner for path in folders for inner in (path, path / "raw") if inner.is_dir()]
    found = {folder: paths for folder in folders if (paths := _files_in(folder, wanted))}
    # Data sets name their files alike: those of MNIST and Fashion-MNIST have the same names.
    named = [folder for folder in found if _plain(name) == _plain(_title(directory, folder))]
    if len(found) > 1 and len(named) != 1:
        raise DataError(
            f"several folders in {directory} have files of the names that {name} has: "
            f"{', '.join(_title(directory, folder) for folder in found)}. Give the right one of "
            "them."
        )
    if not found:
        return directory, {}
    folder = (named or list(found))[0]
    return folder, found[folder]


def _files_in(folder: Path, wanted: Sequence[str]) -> dict[str, Path]:
    found = {}
    for name in wanted:
        # Copies at Kaggle have a dot in place of a hyphen, or folders of the files' names.
        other = name.replace("-idx", ".idx")
        names = (f"{name}.gz", name, f"{other}.gz", other, f"{name}/{name}", f"{name}/{other}")
        for candidate in names:
            if (folder / candidate).is_file():
                found.setdefault(name, folder / candidate)
    return found


def _title(directory: Path, folder: Path) -> str:
    """Return the name of the folder right below ``directory``."""
    return folder.relative_to(directory).parts[0]


def _plain(name: str) -> str:
    """Return "fashionmnist" for ``fashion_mnist`` and ``Fashion-MNIST``."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
