"""``velodrome calibrate``: measure this machine, and store a device profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from tyro.conf import arg

from velodrome.commands._parsing import run_command
from velodrome.commands._tables import console, print_pairs
from velodrome.foundation.text import duration, short, size

EXAMPLES = (
    "velodrome calibrate                                  # stored as the profile `here`",
    "velodrome calibrate --name laptop",
    "velodrome show tasks.json --device here             # predictions for this machine",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(measure, arguments, name="calibrate", examples=EXAMPLES)


def measure(*, name: Annotated[str, arg(metavar="PROFILE")] = "here") -> int:
    """Measure this machine, and store a profile that predicts the seconds of a training step.

    Takes about a minute; leave the machine alone meanwhile.

    Args:
      name: Name of the profile; `--device` of other commands takes it.
    """
    from velodrome.taskgen.calibrate import calibrate  # noqa: PLC0415 - imports scipy

    profile = calibrate(name=name)
    print_pairs(
        [
            ("profile", profile.name),
            ("FLOPs a second", short(profile.peak_flops)),
            ("bytes a second", short(profile.peak_bytes_per_s)),
            ("overhead a step", duration(profile.overhead_s)),
            ("memory", size(profile.memory_bytes)),
        ]
    )
    console().print(f"use it with --device {profile.name}", markup=False)
    return 0
