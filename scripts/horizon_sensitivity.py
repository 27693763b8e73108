"""Train what the leaderboard says of wrong numbers of steps, into a folder that is given.

To VeLO and AdamW with a cosine schedule, half and twice the number of steps of `sprint` is
declared. AdamW has the three rates among which its best one is on every task of the published
field, whose runs the store begins with. Nothing is timed: a wrong number costs no seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import velodrome
from velodrome.foundation.files import exclusive_directory
from velodrome.suites.running.field import begin, stored_field

FACTORS = (0.5, 2)
RATES = (1e-2, 3e-2, 1e-1)
SWEPT, ALONE = "cosine:adamw", "velo"


def main() -> int:
    out = Path(sys.argv[1])
    with exclusive_directory(out):
        begin(out, stored_field("sprint"))
    wrong = {name: [f"horizon:{x:g}:{name}" for x in FACTORS] for name in (SWEPT, ALONE)}
    velodrome.run(
        "sprint",
        out,
        optimizers=["adam", ALONE, *wrong[ALONE], SWEPT, *wrong[SWEPT]],
        grid={name: {"learning_rate": RATES} for name in (SWEPT, *wrong[SWEPT])},
        baseline="exhaustive",
        timing=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
