"""``velodrome weights``: list, fetch, verify."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from tyro.conf import Positional

import velodrome
from velodrome.commands._parsing import option, run_command
from velodrome.commands._progress import ProgressBars
from velodrome.commands._tables import console, print_pairs, print_table
from velodrome.foundation.errors import VelodromeError

EXAMPLES = (
    "velodrome weights list",
    "velodrome weights fetch velo              # the official checkpoint, 9.3 MB over HTTPS",
    "velodrome weights fetch celo              # another published learned optimizer",
    "velodrome weights verify path/to/params   # or a name",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(weights, arguments, name="weights", examples=EXAMPLES)


def weights(
    action: Positional[Literal["list", "fetch", "verify"]],
    name: Positional[Annotated[str | None, option("[NAME_OR_PATH]")]] = None,
    /,
) -> int:
    """List, fetch, or verify the weights of learned optimizers.

    `fetch` resumes a download that was cut off, and checks it against the published hash, or the
    server's checksum where none is published.
    `verify` checks size, names, shapes, types, finiteness, and hashes. Nothing is unpickled.

    Args:
      action: What to do.
      name: For fetch: velo, or another published optimizer. For verify: a name that `list` shows,
        or a path.
    """
    if action == "list" and name is not None:
        raise VelodromeError(f"`velodrome weights list` takes nothing more; leave out {name!r}.")
    if action != "list" and name is None:
        example = "velo" if action == "fetch" else "velo-tiny"
        raise VelodromeError(f"say which weights: velodrome weights {action} {example}")
    # Help needs no numpy.
    from velodrome.commands import _weights  # noqa: PLC0415

    if name is None:
        print_table(("weights", "label", "#parameters", "sizes", "where"), _weights.rows())
        return 0
    if action == "fetch":
        with ProgressBars() as bars:
            velodrome.fetch_weights(name, progress=bars.of("fetching"))
    print_pairs(_weights.facts(name))
    console().print("all checks passed")
    return 0
