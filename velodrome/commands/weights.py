"""``velodrome weights``: list, fetch, verify."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from tyro.conf import Positional

from velodrome.commands._parsing import option, run_command
from velodrome.commands._progress import ProgressBars
from velodrome.commands._tables import console, print_pairs, print_table
from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.text import short
from velodrome.optimizers.velo.weights.official import fetch_weights
from velodrome.optimizers.velo.weights.store import read_weights, weights_names, weights_path

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
    if action == "list":
        if name is not None:
            raise VelodromeError(
                f"`velodrome weights list` takes nothing more; leave out {name!r}."
            )
        print_table(("weights", "label", "#parameters", "LSTM, bank", "where"), _list())
        return 0
    if name is None:
        example = "velo" if action == "fetch" else "velo-tiny"
        raise VelodromeError(f"say which weights: velodrome weights {action} {example}")
    return _fetch(name) if action == "fetch" else _verify(name)


def _list() -> Iterator[Sequence[object]]:
    for name in weights_names():
        path = weights_path(name)
        if not path.is_file():
            yield name, f"not here yet: velodrome weights fetch {name}", "", "", path
            continue
        try:
            found = read_weights(name)
        except VelodromeError as error:
            yield name, f"unusable: {error}", "", "", path
            continue
        size = f"{found.weights.hidden_size}, {found.weights.bank_size}"
        yield name, found.label, short(found.parameters), size, path


def _fetch(name: str) -> int:
    with ProgressBars() as bars:
        fetch_weights(name, progress=bars.of("fetching"))
    return _verify(name)


def _verify(name: str) -> int:
    found = read_weights(name)
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
