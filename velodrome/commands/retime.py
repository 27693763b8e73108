"""``velodrome retime``: the seconds of a store's tasks, measured again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

import velodrome
from velodrome.commands._parsing import run_command
from velodrome.commands._progress import ProgressBars
from velodrome.commands._tables import console
from velodrome.foundation.text import plural

EXAMPLES = ("velodrome retime runs/demo",)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(retime, arguments, name="retime", examples=EXAMPLES)


def retime(store: Positional[Annotated[Path, arg(metavar="DIR")]], /) -> int:
    """Measure again how long a training step takes, for each task and optimizer of a store.

    The curves stay as they are. Do this when velodrome, jax or the machine have changed, with
    nothing else running: speedups in seconds are speedups in steps over the ratio of these times.

    Args:
      store: The directory that `velodrome run --out` filled.
    """
    with ProgressBars(in_bytes=False) as bars:
        done = velodrome.retime(store, on_task=bars.of("tasks"))
    for cell, why in done.failed.items():
        console().print(f"could not be timed: {cell}: {why}", markup=False)
    console().print(f"{store}: {plural(done.tasks, 'task')} timed again", markup=False)
    return 1 if done.failed else 0
