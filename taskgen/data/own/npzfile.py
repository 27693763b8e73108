"""Read images or a table from an ``.npz`` file; nothing is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.own.contents import Contents, Options
from velodrome.taskgen.data.own.imagearrays import labelled

#: Names of the arrays; those of Keras' and MedMNIST's files are among them.
EXAMPLES = ("x", "X", "images", "x_train", "train_images", "data")
LABELS = ("y", "labels", "label", "y_train", "train_labels", "target")
HELD_EXAMPLES = ("x_test", "X_test", "test_images", "images_test")
HELD_LABELS = ("y_test", "test_labels", "labels_test")


def read_npz(path: Path, options: Options) -> Contents:
    """Read the arrays ``x`` and ``y``, and ``x_test`` and ``y_test`` if they are there.

    Raises:
      DataError: The file is damaged, or its arrays are not those of a data set.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"{path.name} holds one array; save two with numpy.savez(x=, y=).")
            found = list(file.files)
            x = _array(file, EXAMPLES, path, found)
            y = _array(file, LABELS, path, found)
            held = None
            if any(name in found for name in (*HELD_EXAMPLES, *HELD_LABELS)):
                held = (
                    _array(file, HELD_EXAMPLES, path, found),
                    _array(file, HELD_LABELS, path, found),
                )
    # What numpy raises for files that are damaged, or of another kind.
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # What is no zip at all, numpy takes for a pickle, and says how to load it unsafely.
        problem = error if zipfile.is_zipfile(path) else "it is no zip of arrays"
        raise DataError(f"{path.name} cannot be read as an .npz file: {problem}.") from error
    return labelled(x, y, held, path.name, regression=options.regression)


def _array(
    file: np.lib.npyio.NpzFile, names: Sequence[str], path: Path, found: Sequence[str]
) -> np.ndarray:
    for name in names:
        if name in found:
            try:
                return file[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                raise DataError(
                    f"the array {name!r} of {path.name} holds Python objects, which are never "
                    "unpickled: save numbers, or words as numpy.str_."
                ) from error
    raise DataError(
        f"{path.name} has the arrays {', '.join(found) or '(none)'}, but none of the names "
        f"{', '.join(names)}."
    )
