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
from velodrome.foundation.text import short

EXAMPLES = (
    "velodrome weights list",
    "velodrome weights fetch velo              # the official checkpoint, 9.3 MB over HTTPS",
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

    `fetch` resumes a download that was cut off, and checks it against the server's checksum.
    `verify` checks size, names, shapes, types, finiteness, and hashes. Nothing is unpickled.

    Args:
      action: What to do.
      name: For fetch: velo. For verify: a name that `list` shows, or a path.
    """
    if action == "list" and name is not None:
        raise VelodromeError(f"`velodrome weights list` takes nothing more; leave out {name!r}.")
    if action != "list" and name is None:
        example = "velo" if action == "fetch" else "velo-tiny"
        raise VelodromeError(f"say which weights: velodrome weights {action} {example}")
    from velodrome.optimizers.velo.weights import store  # noqa: PLC0415 - help needs no numpy

    if name is None:

        def row(known: str) -> Sequence[object]:
            path = store.weights_path(known)
            if not path.is_file():
                return known, f"not here yet: velodrome weights fetch {known}", "", "", path
            try:
                found = store.read_weights(known)
            except VelodromeError as error:
                return known, f"unusable: {error}", "", "", path
            size = f"{found.weights.hidden_size}, {found.weights.bank_size}"
            return known, found.label, short(found.parameters), size, path

        print_table(
            ("weights", "label", "#parameters", "LSTM, bank", "where"),
            map(row, store.weights_names()),
        )
        return 0
    if action == "fetch":
        with ProgressBars() as bars:
            velodrome.fetch_weights(name, progress=bars.of("fetching"))
    found = store.read_weights(name)
    print_pairs(
        [
            ("label", found.label),
            ("file", found.path),
            ("bytes", f"{found.size:,}"),
            ("LSTM", found.weights.hidden_size),
            ("bank", found.weights.bank_size),
            ("parameters", f"{found.parameters:,}"),
            ("SHA-256 of the file", found.sha256),
            ("hash of the arrays", found.content_hash),
        ]
    )
    console().print("all checks passed")
    return 0
