"""Archives of many files: unpacked whole or not at all, never mixed up, and damaged ones."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinydata
from tinydata import cifar_records, loaded, pack, random_images, sentences, shrink, write_lm1b

from velodrome.foundation.errors import DataError, WriteError
from velodrome.foundation.files import cache_dir, sha256_file
from velodrome.taskgen.data.published import writer
from velodrome.taskgen.data.published.prepare import downloads_dir, prepare
from velodrome.taskgen.data.published.prepared import prepared_dir
from velodrome.taskgen.data.published.readers.archives import open_archive, unpack
from velodrome.taskgen.data.published.readers.lm1b import ROOT
from velodrome.taskgen.data.published.sources import FileFacts, RawFile

pytestmark = pytest.mark.usefixtures("own_cache")

Tiny = Callable[..., Path]


def lm1b_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch, variant: int = 0) -> Path:
    """Pack a benchmark of 40 and 6 sentences into ``folder``; return the archive."""
    shrink(monkeypatch, "lm1b_bytes", counts={"train": 40, "test": 6})
    root = folder.with_name(f"{folder.name} files") / ROOT
    write_lm1b(root, {"train": sentences(40, f"{variant}"), "test": sentences(6, f"{variant}")})
    pack(root, folder / f"{ROOT}.tar.gz")
    return folder / f"{ROOT}.tar.gz"


def food101_64(folder: Path, monkeypatch: pytest.MonkeyPatch, variant: int = 0) -> Path:
    """Pack a Food-101 of 32 and 16 grey images; return the archive."""
    shrink(monkeypatch, "food101_64", **tinydata.FOOD101)
    root = folder.with_name(f"{folder.name} files") / "food-101"
    tinydata.write_food101(root)
    grey = tinydata.encoded(np.full((8, 8, 3), 100 + variant, np.uint8), "JPEG")
    for path in (root / "images").rglob("*.jpg"):
        path.write_bytes(grey)
    pack(root, folder / "food-101.tar.gz")
    return folder / "food-101.tar.gz"


def cifar100(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pack a CIFAR-100 of five and two images; return the archive."""
    shrink(monkeypatch, "cifar100", counts={"train": 5, "test": 2})
    images, labels = random_images(7, 32, 3), np.arange(7)
    parts = {"train.bin": slice(0, 5), "test.bin": slice(5, 7)}
    files = {
        f"cifar-100-binary/{name}": cifar_records(images[part], labels[part], coarse=True)
        for name, part in parts.items()
    }
    folder.mkdir()
    tinydata.write_tar(folder / "cifar-100-binary.tar.gz", files)
    return folder / "cifar-100-binary.tar.gz"


def as_downloaded(name: str, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an archive where downloads are, as the published one."""
    target = downloads_dir(name) / archive.name
    target.parent.mkdir(parents=True)
    archive.rename(target)
    size, sha256 = target.stat().st_size, sha256_file(target)
    shrink(monkeypatch, name, files=(RawFile(f"http://127.0.0.1:9/{target.name}", size, sha256),))


def unpacked_files() -> list[Path]:
    folder = cache_dir() / "data" / "unpacked"
    return [path for path in folder.rglob("*") if path.is_file()]


def interrupt(name: str, **options: Any) -> None:
    """Prepare a data set until two chunks of its training split are written."""

    def stop(what: str, done: int, total: int) -> None:
        if done == 2 * writer.CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(name, progress=stop, **options)


@pytest.mark.parametrize("make", [lm1b_bytes, food101_64])
def test_killed_while_unpacking(make: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name = make.__name__
    as_downloaded(name, make(tmp_path / "files", monkeypatch), monkeypatch)
    real, made = tarfile.TarFile.makefile, []

    def makefile(self: tarfile.TarFile, *args: Any) -> None:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(args)
        real(self, *args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tarfile.TarFile, "makefile", makefile)
        patch.setattr(shutil, "rmtree", lambda *args, **options: None)  # nobody cleans up
        prepare(name, fetch=True)
    assert len(unpacked_files()) == 3
    record = prepare(name, fetch=True)
    assert record.published is True and len(record.files) == 1
    whole = {"lm1b_bytes": (39, 6), "food101_64": (26, 16)}[name]
    assert tuple(split.size for split in record.splits.values()) == whole
    assert unpacked_files() == []  # they are no longer needed


@pytest.mark.parametrize("make", [lm1b_bytes, food101_64])
def test_killed_while_writing(make: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name = make.__name__
    as_downloaded(name, make(tmp_path / "files", monkeypatch), monkeypatch)
    monkeypatch.setattr(writer, "CHUNK", 8)
    interrupt(name, fetch=True)
    assert unpacked_files()  # to resume from
    seen: list[tuple[str, int]] = []
    record = prepare(name, fetch=True, progress=lambda what, done, total: seen.append((what, done)))
    assert seen[0] == (f"{name} train", 24)
    (entry,) = record.files.values()
    assert len(entry.sha256) == 64 and record.published is True
    assert record.form.endswith(".tar.gz")


@pytest.mark.parametrize("make", [lm1b_bytes, food101_64])
def test_another_archive_replaces_an_unpacked_one(
    make: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    name = make.__name__
    make(tmp_path / "one", monkeypatch)
    other = make(tmp_path / "two", monkeypatch, 5)
    monkeypatch.setattr(writer, "CHUNK", 8)
    interrupt(name, source=tmp_path / "one")
    kept = unpacked_files()
    record = prepare(name, source=tmp_path / "two")
    assert record.files == {other.name: FileFacts.of(other)}
    heldout = loaded(name)["heldout"]
    if name == "lm1b_bytes":
        assert bytes(heldout["tokens"][:2] - 3) == b"5 "
    else:
        assert set(heldout["image"].ravel().tolist()) == {105.0}
    assert kept and unpacked_files() == []


@pytest.mark.parametrize("make", [lm1b_bytes, food101_64])
def test_an_archive_is_preferred_to_files_unpacked_beside_it(
    make: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nobody knows which archive the unpacked files are from, nor whether they are complete."""
    archive = make(tmp_path / "files", monkeypatch)
    shutil.copytree(tmp_path / "files files", tmp_path / "files", dirs_exist_ok=True)
    for path in (tmp_path / "files").rglob("*.json"):
        path.unlink()
    for path in (tmp_path / "files").rglob("news*"):
        path.write_text("part of it\n")
    assert set(prepare(make.__name__, source=tmp_path / "files").files) == {archive.name}


def bad_checksum(content: bytes) -> bytes:
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


def flipped(content: bytes) -> bytes:
    """Half-way, a compressed block gets a type that does not exist."""
    files = gzip.decompress(content)
    packer = zlib.compressobj(wbits=31)  # gzip
    first = packer.compress(files[: len(files) // 2]) + packer.flush(zlib.Z_FULL_FLUSH)
    second = packer.compress(files[len(files) // 2 :]) + packer.flush()
    return first + bytes([second[0] | 0b110]) + second[1:]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [bad_checksum, flipped, cut])
@pytest.mark.parametrize("make", [lm1b_bytes, food101_64, cifar100])
def test_damaged_archives(
    make: Tiny,
    damage: Callable[[bytes], bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    archive = make(tmp_path / "files", monkeypatch)
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(DataError, match=rf"(?s){archive.name} is damaged: .*\. Fetch it again"):
        prepare(make.__name__, source=tmp_path / "files")
    assert unpacked_files() == [] and not prepared_dir(make.__name__).exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [(bad_checksum, "CRC check failed"), (flipped, "invalid block type"), (cut, "before the end")],
)
def test_damage_far_in(damage: Callable[[bytes], bytes], words: str, tmp_path: Path):
    """Beyond what is read ahead when an archive is opened."""
    archive = tmp_path / "large.tar.gz"
    tinydata.write_tar(archive, {"large": random_images(1, 600, 3).tobytes()})
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(DataError, match=rf"large.tar.gz is damaged: .*{words}"):
        unpack(archive, tmp_path / "there")
    assert [path.name for path in tmp_path.iterdir()] == ["large.tar.gz"]


def test_the_checksum_is_read_even_far_from_the_last_member(tmp_path: Path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as members:
        members.addfile(tarfile.TarInfo("empty"))
    archive = tmp_path / "padded.tar.gz"
    archive.write_bytes(bad_checksum(gzip.compress(buffer.getvalue() + bytes(4 << 20))))
    with pytest.raises(DataError, match="CRC"), open_archive(archive) as members:
        assert members.getnames() == ["empty"]


def test_a_full_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = food101_64(tmp_path / "files", monkeypatch)

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "makefile", full)
        with pytest.raises(WriteError, match="cannot unpack .*No space left.*VELODROME_CACHE"):
            unpack(archive, tmp_path / "there")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "files files"]


def test_an_archive_of_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shrink(monkeypatch, "food101_64", counts={"train": 1, "validation": 1})
    tinydata.write_tar(tmp_path / "food-101.tar.gz", {"other/file.txt": b"text"})
    with pytest.raises(DataError, match="has none of the files of food101_64 in it"):
        prepare("food101_64", source=tmp_path)
