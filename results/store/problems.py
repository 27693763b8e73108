"""Files of a store that were skipped, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from velodrome.foundation.errors import StoreError


@dataclass(frozen=True)
class Problem:
    """A file that was found in the store and skipped."""

    path: Path
    reason: str


class Problems:
    """The problems met so far, one a file."""

    def __init__(self) -> None:
        self._found: dict[Path, Problem] = {}

    def add(self, path: Path, error: StoreError) -> None:
        """Notes that a file was skipped."""
        self._found[path] = Problem(path, str(error))

    def solved(self, path: Path) -> None:
        """Forgets what was wrong with a file."""
        self._found.pop(path, None)

    def present(self) -> tuple[Problem, ...]:
        """Returns the problems with files that are still there, by path."""
        return tuple(self._found[path] for path in sorted(self._found) if path.exists())
