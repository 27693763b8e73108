"""Prepare published data sets: find or fetch them, decode them once, record what they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib import util
from pathlib import Path

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.download import DownloadError, download
from velodrome.foundation.errors import DataError, UnknownNameError, WriteError
from velodrome.foundation.files import (
    atomic_path,
    atomic_write_json,
    atomic_write_text,
    cache_dir,
    resolved,
)
from velodrome.taskgen.data.arrays import hash_arrays, map_arrays
from velodrome.taskgen.data.info import SPLITS, DatasetInfo
from velodrome.taskgen.data.published.facts import INFOS, WORKLOADS
from velodrome.taskgen.data.published.prepared import (
    Record,
    SplitRecord,
    prepared_dir,
    read_record,
    record_path,
    vocabulary_path,
)
from velodrome.taskgen.data.published.readers.base import Reader
from velodrome.taskgen.data.published.readers.detect import open_source_folder
from velodrome.taskgen.data.published.readers.tokens import Encode, encode_bytes, load_pieces
from velodrome.taskgen.data.published.readers.vocabulary import load_workload_pieces
from velodrome.taskgen.data.published.recipes import RECIPES
from velodrome.taskgen.data.published.writer import write_split
from velodrome.taskgen.data.stored import installed_version

_SOURCE = "source"
"""File with the hash of what the splits of an unfinished data set are made from."""

Progress = Callable[[str, int, int], None]
"""Called with (the current step, how much of it is done, how much it is in all)."""


def downloads_dir(name: str) -> Path:
    """Return where the original files of a data set are downloaded to."""
    return cache_dir() / "data" / "downloads" / RECIPES[name].tfds.replace("/", "-")


def prepare(
    name: str,
    *,
    source: Path | None = None,
    fetch: bool = False,
    vocabulary: Path | None = None,
    progress: Progress = lambda step, done, total: None,
) -> Record:
    """Prepare a published data set; return at once if it is prepared already.

    Without ``source`` and ``fetch``, TFDS fetches and prepares it, which needs TensorFlow.

    Args:
      source: A TFDS ``data_dir``, or a folder with the original files.
      fetch: Whether to download the original files.
      vocabulary: The SentencePiece model that the data set needs, if it does.
      progress: Called after each part of a step.

    Raises:
      UnknownNameError: There is no such published data set.
      DataError: The source lacks the data set, is incomplete, or needs a package that is not
        installed.
      DownloadError: It cannot be fetched, or the server sent another file.
      WriteError: There is no room.
    """
    if name not in RECIPES:
        raise UnknownNameError("data set to prepare", name, RECIPES)
    done = read_record(name)
    if done is not None:
        if source is not None or fetch:
            raise DataError(
                f"{name} is prepared already, from {done.form}. To prepare it from elsewhere, "
                f"delete {prepared_dir(name)} first."
            )
        return done
    info = next(info for info in (*INFOS, *WORKLOADS) if info.name == name)
    source = None if source is None else resolved(source)
    encode, notes = _encoder(info, vocabulary)
    if fetch:
        if source is not None:
            raise DataError("give either a folder (--from) or --download, not both.")
        source = _fetch_files(name, progress)
    if source is None:
        source = _build_with_tfds(name)
    reader = open_source_folder(info, source, encode=encode)
    kept = None if vocabulary is None else resolved(vocabulary)
    return _write(info, reader, notes, progress, vocabulary=kept)


def _fetch_files(name: str, progress: Progress) -> Path:
    """Download the original files of a data set and return the folder that they are in."""
    recipe = RECIPES[name]
    if not recipe.files:
        raise DataError(f"{name} cannot be downloaded: {recipe.by_hand}.")
    folder = downloads_dir(name)
    for file in recipe.files:
        try:
            download(
                file.url,
                folder / file.name,
                size=file.size,
                sha256=file.sha256,
                progress=partial(progress, file.name),
            )
        except DownloadError as error:
            raise DownloadError(
                f"{error} Run the command again with a network; or fetch {file.url} on another "
                f"machine and give the folder it is in with --from."
            ) from error
    return folder


def _write(
    info: DatasetInfo,
    reader: Reader,
    notes: Mapping[str, str],
    progress: Progress,
    *,
    vocabulary: Path | None,
) -> Record:
    folder = prepared_dir(info.name)
    files = {name: vars(file) for name, file in reader.files.items()}
    identity = {"form": reader.form, "files": files, "notes": [reader.notes, notes]}
    _begin(folder, content_hash(identity))
    splits = {}
    for split in SPLITS:
        target, part = folder / split, folder / f"{split}.part"
        if not target.is_dir():
            report = partial(progress, f"{info.name} {split}")
            write_split(part, reader.splits[split], source=identity, progress=report)
            part.replace(target)
        arrays = map_arrays(target, info.array_names)
        splits[split] = SplitRecord(
            size=reader.splits[split].count,
            hash=hash_arrays(arrays),
            bytes=sum(array.nbytes for array in arrays.values()),
        )
    if vocabulary is not None:  # metrics of texts turn tokens into text again
        with atomic_path(vocabulary_path(info.name)) as temporary:
            shutil.copyfile(vocabulary, temporary)
    record = Record(
        form=reader.form,
        files=reader.files,
        published=reader.published,
        notes={**reader.notes, **notes},
        splits=splits,
        prepared=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={name: installed_version(name) for name in ("velodrome", "pillow")},
    )
    atomic_write_json(record_path(info.name), record.to_json(info.name))
    (folder / _SOURCE).unlink(missing_ok=True)
    if reader.unpacked is not None:
        shutil.rmtree(reader.unpacked, ignore_errors=True)
    return record


def _begin(folder: Path, identity: str) -> None:
    """Delete the splits of another source, so that no data set is a mixture of two."""
    note = folder / _SOURCE
    if note.is_file() and note.read_text() == identity:
        return
    for name in (*SPLITS, *(f"{split}.part" for split in SPLITS)):
        old = folder / name
        try:
            if old.is_dir():
                shutil.rmtree(old)
        except OSError as error:
            raise WriteError(
                f"cannot delete {old}, which was prepared from another source: "
                f"{error.strerror or error}. Delete {folder} and run the command again."
            ) from error
    atomic_write_text(note, identity)


def _encoder(info: DatasetInfo, vocabulary: Path | None) -> tuple[Encode | None, dict[str, str]]:
    """Return the function from a text to its tokens, and what to record about it."""
    needed = RECIPES[info.name].vocabulary
    if not needed:
        if vocabulary is not None:
            raise DataError(f"{info.name} takes no vocabulary; leave out --vocabulary.")
        return (encode_bytes if info.kind == "text" else None), {}
    t5 = needed == "t5"
    if vocabulary is None:
        which, page = ("the vocabulary of T5", "data") if t5 else ("a vocabulary", "mlcommons")
        raise DataError(
            f"{info.name} needs {which}: give its sentencepiece.model with --vocabulary FILE. "
            f"docs/how-to/prepare-{page}.md says where to get it."
        )
    model = resolved(vocabulary)
    return load_pieces(model) if t5 else load_workload_pieces(model, info)


def _build_with_tfds(name: str) -> Path:
    """Let TFDS fetch and prepare a data set, which takes TensorFlow."""
    recipe = RECIPES[name]
    ways = [f"`velodrome data prepare {name} --download`"] if recipe.files else []
    ways.append(f"`velodrome data prepare {name} --from DIR`, if you have it")
    if recipe.by_hand:
        raise DataError(f"{name} cannot be fetched for you: {recipe.by_hand}.")
    if util.find_spec("tensorflow") is None:
        raise DataError(
            f"tensorflow-datasets needs TensorFlow to prepare {name}, and it is not installed: run "
            f"`pip install 'velodrome[prepare]'`; or use {', or '.join(ways)}."
        )
    import tensorflow_datasets as tfds  # noqa: PLC0415 - takes seconds; other sources do not need it

    folder = cache_dir() / "data" / "tfds"
    builder = tfds.builder(recipe.tfds, data_dir=str(folder), file_format="array_record")
    builder.download_and_prepare()
    return folder
