"""Import matplotlib as reports need it, whatever the environment says."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings

from velodrome.foundation.errors import VelodromeError

_BACKEND = "MPLBACKEND"


def import_matplotlib() -> None:
    """Import matplotlib without the backend that the environment names.

    Jupyter names its own in `MPLBACKEND`, also for commands that run with another Python, which
    may not have it: the import of matplotlib then fails. Our figures belong to no backend. The
    process keeps the one that it was to have, where it exists.

    Raises:
      VelodromeError: The user's settings or styles are not even text.
    """
    loaded = "matplotlib" in sys.modules
    backend = None if loaded else os.environ.pop(_BACKEND, None)
    try:
        matplotlib = importlib.import_module("matplotlib")
        importlib.import_module("matplotlib.style")  # reads the user's own styles
    except UnicodeDecodeError as error:
        raise VelodromeError(
            f"matplotlib cannot read its settings ({error}): a file matplotlibrc, here or in its "
            "configuration folder, or a style there, is not text in UTF-8. Mend or delete it"
        ) from error
    finally:
        if backend is not None:
            os.environ[_BACKEND] = backend
    if backend:
        with contextlib.suppress(ValueError), warnings.catch_warnings(action="ignore"):
            matplotlib.rcParams["backend"] = backend
