"""Published archives: read, or unpacked once into the cache if they hold many files."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from velodrome.foundation.errors import DataError, WriteError
from velodrome.foundation.files import cache_dir
from velodrome.taskgen.data.info import DatasetInfo
from velodrome.taskgen.data.published.readers.base import Reader
from velodrome.taskgen.data.published.sources import FileFacts, RawFile, is_published


@contextlib.contextmanager
def open_archive(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar file, compressed or not, for a ``with`` block that reads all of its members.

    Raises:
      DataError: It is damaged.
      OSError: The disk, not the archive, has failed.
    """
    try:
        with tarfile.open(archive) as members:
            yield members
            # The checksum comes after the last member.
            while members.fileobj is not None and members.fileobj.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        # A wrong checksum is an OSError too, but one without an errno.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{archive} is damaged: {error}. Fetch it again.") from error


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar file; the folder ``target`` is there only when all of it is."""
    part = target.with_name(target.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)  # left by a call that was killed
        part.mkdir(parents=True)
        with open_archive(archive) as members:
            members.extractall(part, filter="data")
        part.replace(target)
    except OSError as error:
        raise WriteError(
            f"cannot unpack {archive} to {target}: {error.strerror or error}. Make room, or set "
            "VELODROME_CACHE to a directory with more, and run the command again."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def open_unpacked(
    info: DatasetInfo,
    directory: Path,
    files: Sequence[RawFile],
    read: Callable[[Path], Reader | None],
) -> Reader | None:
    """Read a data set of many files from its archive, or from a folder that was unpacked by hand.

    ``read`` opens an unpacked folder. A WriteError is raised if there is no room to unpack.
    """
    # The archive has precedence: its hash can be compared with the published one, and what lies
    # unpacked beside it may be incomplete, or come from another archive.
    archive = directory / files[0].name
    if not archive.is_file():
        return read(directory)
    record = {archive.name: FileFacts.of(archive)}
    # Its name is the hash of the archive, so it is never taken for that of another one.
    target = cache_dir() / "data" / "unpacked" / info.name / record[archive.name].sha256
    if not target.is_dir():
        shutil.rmtree(target.parent, ignore_errors=True)  # what is left of another archive
        unpack(archive, target)
    reader = read(target)
    if reader is None:
        raise DataError(
            f"{archive} has none of the files of {info.name} in it; fetch the published archive."
        )
    return dataclasses.replace(
        reader,
        form=archive.name,
        files=record,
        published=is_published(record, files),
        unpacked=target.parent,
    )
