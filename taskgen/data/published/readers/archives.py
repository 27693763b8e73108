"""Archives as published: reading them, and unpacking those of many files once, into the cache."""

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
from velodrome.taskgen.data.published.sources import RawFile, describe_file, is_published


@contextlib.contextmanager
def open_archive(archive: Path) -> Iterator[tarfile.TarFile]:
    """Opens an archive for a ``with`` block that reads all of its members.

    Args:
      archive: A tar file, compressed or not.

    Raises:
      DataError: It is damaged.
      OSError: The disk, not the archive, has failed.
    """
    try:
        with tarfile.open(archive) as members:
            yield members
            # The checksum of what was read comes after the last member.
            while members.fileobj is not None and members.fileobj.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        # A wrong checksum is an OSError too, but one without a number of the system.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{archive} is damaged: {error}. Fetch it again.") from error


def unpack(archive: Path, target: Path) -> None:
    """Unpacks an archive; the folder ``target`` is there only when all of it is.

    Args:
      archive: A tar file, compressed or not.
      target: Where to. Its directory is made.

    Raises:
      DataError: The archive is damaged.
      WriteError: There is no room.
    """
    part = target.with_name(target.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)  # of a call that was killed
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
    """Reads a data set of many files: from its archive, or from a folder that was unpacked by hand.

    The archive has precedence, because its hash can be compared with the published one, and what
    lies unpacked beside it may be a part of it, or of another archive.

    Args:
      info: Facts about the data set.
      directory: Where the archive lies, or what was unpacked.
      files: The archive as published.
      read: From the folder that an archive was unpacked to, to a reader of it; or to None, if the
        folder has no such files.

    Returns:
      The reader, or None if the directory has no such files.

    Raises:
      DataError: The archive is damaged, or is of something else.
      WriteError: There is no room to unpack it.
    """
    archive = directory / files[0].name
    if not archive.is_file():
        return read(directory)
    record = {archive.name: describe_file(archive)}
    # With the hash as its name, the folder is never taken for that of another archive.
    target = cache_dir() / "data" / "unpacked" / info.name / record[archive.name]["sha256"]
    if not target.is_dir():
        shutil.rmtree(target.parent, ignore_errors=True)  # what was left of another archive
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
