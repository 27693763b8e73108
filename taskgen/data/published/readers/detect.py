"""Find out in which form a published data set lies in a folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.archives import open_unpacked
from velodrome.taskgen.data.published.readers.base import Reader
from velodrome.taskgen.data.published.readers.cifar import open_cifar
from velodrome.taskgen.data.published.readers.criteo import open_criteo
from velodrome.taskgen.data.published.readers.folders import open_food101, open_imagenet
from velodrome.taskgen.data.published.readers.idx import open_idx
from velodrome.taskgen.data.published.readers.librispeech import open_librispeech
from velodrome.taskgen.data.published.readers.lm1b import open_lm1b
from velodrome.taskgen.data.published.readers.molpcba import open_molpcba
from velodrome.taskgen.data.published.readers.scans import open_scans
from velodrome.taskgen.data.published.readers.tfdsfolder import open_tfds
from velodrome.taskgen.data.published.readers.tokens import Encode
from velodrome.taskgen.data.published.readers.translations import open_translations
from velodrome.taskgen.data.published.recipes import RECIPES


def open_source_folder(info: DatasetInfo, folder: Path, *, encode: Encode | None) -> Reader:
    """Open a data set in a TFDS ``data_dir``, or in a folder with the original files.

    Raises:
      DataError: The folder has nothing that can be read, or what it has is damaged.
      WriteError: There is no room to unpack what it has.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}.")
    folder = folder.resolve()  # the path is part of what identifies a source
    recipe = RECIPES[info.name]
    reader = open_tfds(info, folder, encode=encode) if recipe.tfds else None
    reader = reader or _open_original(info, folder, encode)
    if reader is None:
        known = ", ".join(file.name for file in recipe.files)
        original = f", nor the original files ({known})" if known else ""
        by_hand = f" What to do: {recipe.by_hand}." if recipe.by_hand else ""
        if not recipe.tfds:
            raise DataError(f"{folder} has not the files of {info.name}.{by_hand}")
        raise DataError(
            f"{folder} has no folder {recipe.tfds} of tensorflow-datasets{original}.{by_hand}"
        )
    _refuse_another(info.name, reader)
    return reader


def _open_original(info: DatasetInfo, folder: Path, encode: Encode | None) -> Reader | None:
    recipe = RECIPES[info.name]
    if recipe.layout == "idx":
        return open_idx(info, folder, recipe.files)
    if recipe.layout == "cifar":
        return open_cifar(info, folder, recipe.files)
    if recipe.layout == "food101":
        return open_unpacked(info, folder, recipe.files, partial(open_food101, info))
    if recipe.layout == "imagenet":
        return open_imagenet(info, folder)
    if recipe.layout == "criteo":
        return open_criteo(info, folder)
    if recipe.layout == "molpcba":
        return open_molpcba(info, folder)
    if recipe.layout == "lm1b":
        assert encode is not None  # it is text
        read = partial(open_lm1b, info, encode=encode)
        return open_unpacked(info, folder, recipe.files, read)
    if recipe.layout == "librispeech":
        assert encode is not None  # it has text
        return open_librispeech(info, folder, encode=encode)
    if recipe.layout == "scans":
        return open_scans(info, folder)
    if recipe.layout == "translations":
        assert encode is not None  # it is text
        return open_translations(info, folder, encode=encode)
    return None


def _refuse_another(name: str, reader: Reader) -> None:
    """Refuse the files of another data set: MNIST and Fashion-MNIST name theirs alike."""
    for other, recipe in RECIPES.items():
        if recipe.tfds == RECIPES[name].tfds:
            continue
        known = {known for file in recipe.files for known in (file.sha256, file.content) if known}
        for file, facts in reader.files.items():
            if facts.sha256 in known or facts.content in known:
                raise DataError(f"{file} is a file of {other}, not of {name}; give the right one.")
