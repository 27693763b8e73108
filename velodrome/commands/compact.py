"""``velodrome compact``: few files instead of many; and stores of before become those of today."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

import velodrome
from velodrome.commands._parsing import run_command
from velodrome.commands._tables import console
from velodrome.foundation.text import plural

EXAMPLES = (
    "velodrome compact runs/mine",
    "velodrome compact runs/mine --drop-states   # its runs are long enough",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(compact, arguments, name="compact", examples=EXAMPLES)


def compact(
    store: Positional[Annotated[Path, arg(metavar="DIR")]], /, *, drop_states: bool = False
) -> int:
    """Pack the many files of a store into few, and convert it if an older velodrome wrote it.

    No number changes, and a kill at any moment loses none: the same command finishes the work.
    Damaged files are left as they are. Nothing may be planned in the store meanwhile.

    Args:
      store: The directory that `velodrome run --out` filled.
      drop_states: Remove the kept ends of runs, which may be large: longer runs then start over.
    """
    done = velodrome.compact(store, drop_states=drop_states)
    for problem in done.problems:
        console().print(f"left alone: {problem.path}: {problem.reason}", markup=False)
    console().print(
        f"{store}: {plural(done.shards, 'shard')} packed; {plural(done.files, 'file')} instead of "
        f"{done.before:,}",
        markup=False,
    )
    return 0
