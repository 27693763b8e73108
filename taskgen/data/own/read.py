"""Read a user's data, of whichever form."""

from __future__ import annotations

from pathlib import Path

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.own.contents import HUB, Contents, Options, no_use
from velodrome.taskgen.data.own.hub import read_hub
from velodrome.taskgen.data.own.imagefiles import SUFFIXES
from velodrome.taskgen.data.own.imagefolder import read_folder
from velodrome.taskgen.data.own.npzfile import read_npz
from velodrome.taskgen.data.own.tablefile import read_csv, read_parquet
from velodrome.taskgen.data.own.textfile import read_text

FORMS = "an .npz, .csv or .parquet file, a folder of folders of images, or a text file"

_TABLES = {".csv": read_csv, ".tsv": read_csv, ".parquet": read_parquet}

#: What to do about files that are often given, by their suffix.
_INSTEAD = {
    ".npy": "It holds one array; save examples and labels with numpy.savez('data.npz', x=, y=).",
    **dict.fromkeys((".xls", ".xlsx", ".ods"), "Save the sheet as CSV."),
    **dict.fromkeys((".zip", ".gz", ".bz2", ".xz", ".tar", ".tgz", ".7z"), "Unpack it first."),
    **dict.fromkeys(
        (".pkl", ".pickle", ".joblib", ".pt", ".pth"),
        "Nothing is unpickled: save arrays with numpy.savez('data.npz', x=, y=).",
    ),
    **dict.fromkeys(SUFFIXES, "Give the folder that has a folder of images for each class."),
}


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
    table = _TABLES.get(suffix)
    if table is None:
        no_use(options.label, "--label", "tables")
        no_use(options.ignore, "--ignore", "tables")
    if table is None and suffix != ".npz":
        no_use(options.regression, "--regression", "tables")
    if file.is_dir():
        return read_folder(file, options)
    no_use(options.size, "--size", "folders of images")
    if suffix in _INSTEAD:
        raise DataError(f"{file.name} cannot be read. {_INSTEAD[suffix]}")
    try:
        if table:
            return table(file, options)
        return read_npz(file, options) if suffix == ".npz" else read_text(file)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
