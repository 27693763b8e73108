"""Libraries of the package's extras: imported when they are needed, with one message if missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from velodrome.foundation.errors import VelodromeError


def optional(module: str, *, extra: str, needed_by: str, otherwise: str = "") -> ModuleType:
    """Import a module that only an extra of this package installs.

    Args:
      extra: Its name, as in ``pip install 'velodrome[ray]'``.
      needed_by: What needs it, at the beginning of a sentence, such as ``"--engine ray"``.
      otherwise: What to do without it, in the imperative.

    Raises:
      VelodromeError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise VelodromeError(
            f"{needed_by} needs {library}, which is not installed: pip install "
            f"'velodrome[{extra}]' (in a clone, pip install -e '.[{extra}]')"
            f"{', or ' if otherwise else ''}{otherwise}."
        ) from error
