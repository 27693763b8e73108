"""Read a user's data, of whichever form."""

from __future__ import annotations

from pathlib import Path

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.own.contents import HUB, Contents, Options
from velodrome.taskgen.data.own.hub import read_hub
from velodrome.taskgen.data.own.imagefolder import read_folder
from velodrome.taskgen.data.own.npzfile import read_npz
from velodrome.taskgen.data.own.tablefile import read_csv
from velodrome.taskgen.data.own.textfile import read_text

FORMS = "an .npz or .csv file, a folder with a folder of images for each class, or a text file"


def read(path: str, options: Options) -> Contents:
    """Read data by the form of their path: the suffix of a file, a folder, or ``hf:NAME``.

    Raises:
      DataError: There is no such file, something in it is wrong, or an option is of no use.
    """
    if path.startswith(HUB):
        return read_hub(path.removeprefix(HUB), options)
    file = Path(path)
    suffix = file.suffix.lower()
    if not file.exists():
        raise DataError(f"there is no file or folder {path}; give {FORMS}.")
    table = suffix in (".csv", ".tsv")
    if not table:
        _no_use(options.label, "--label", "tables")
        _no_use(options.ignore, "--ignore", "tables")
    if file.is_dir():
        return read_folder(file, options)
    _no_use(options.size, "--size", "folders of images")
    try:
        if table:
            return read_csv(file, options)
        return read_npz(file) if suffix == ".npz" else read_text(file)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _no_use(value: object, option: str, what: str) -> None:
    if value:
        raise DataError(f"{option} is for {what} only; leave it out.")
