"""``velodrome reference``: published curves and lists. Imports no jax."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from velodrome.commands._parsing import run_command
from velodrome.commands._tables import console, print_table
from velodrome.foundation.errors import VelodromeError

if TYPE_CHECKING:
    from velodrome.results.analyses.reference import Reference

EXAMPLES = (
    "velodrome reference fetch                           # 3.5 MB over HTTPS, into the cache",
    "velodrome reference fetch --from speedup_over_adam.json",
    "velodrome reference fetch --kind nadamw-list        # 0.3 MB: the trials of nadamw_list:1000",
    "velodrome reference list",
)

LIST = "nadamw-list"


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(reference, arguments, name="reference", examples=EXAMPLES)


def reference(
    action: Positional[Literal["fetch", "list"]],
    /,
    *,
    kind: Literal["adam", "four-optimizers", "nadamw-list"] = "adam",
    source: Annotated[Path | None, arg(name="from", metavar="FILE", help_behavior_hint="")] = None,
    unverified: bool = False,
) -> int:
    """Fetch or list what was published to compare with: curves, and a list of hyperparameters.

    The curves are envelopes: for each published task, the lowest smoothed train loss that any rate
    of a sweep had reached by each step. The report draws that of Adam beside ours, once it is
    fetched.

    Args:
      action: What to do.
      kind: adam is Adam at a constant rate, which speedups are measured against; four-optimizers
        is the best of Adam with three schedules and of RAdam, which is lower; nadamw-list is the
        thousand trials of the optimizer nadamw_list:1000, checked by their hash.
      source: A file to take instead of fetching it: JSON, or that in gzip.
      unverified: Take also a file whose numbers do not tell its kind, as one of a few tasks.
    """
    if action == "list" and (source is not None or unverified):
        raise VelodromeError(
            "`velodrome reference list` takes no --from and no --unverified; leave them out."
        )
    from velodrome.optimizers.nadamw_list import trials  # noqa: PLC0415 - as the import above
    from velodrome.results.analyses.reference import (  # noqa: PLC0415 - help needs no numpy
        WORDS,
        fetch_reference,
        load_reference,
    )

    if kind == LIST and unverified:
        raise VelodromeError("the NAdamW list is known by its hash: leave --unverified out.")
    if kind == LIST and action == "fetch":
        path = trials.fetch_list(source)
        count = len(trials.read_trials(path.read_bytes()))
        console().print(f"{count:,} trials of NAdamW; in {path}", markup=False)
        return 0
    if action == "list":

        def row(kind: str) -> Sequence[object]:
            found = load_reference(kind)
            if found is None:
                return kind, "", "", f"not here yet: velodrome reference fetch --kind {kind}"
            return kind, len(found.envelopes), f"{_last_step(found):,.0f}", found.origin

        where = trials.list_path()
        there = f"{trials.LENGTH:,} trials, in {where}" if where.is_file() else ""
        missing = f"not here yet: velodrome reference fetch --kind {LIST}"
        rows = [*map(row, WORDS), (LIST, "", "", there or missing)]
        print_table(("reference", "#tasks", "#last step", "from"), rows)
        return 0
    found = fetch_reference(kind, source=source, unverified=unverified)
    console().print(
        f"{len(found.envelopes)} tasks, {WORDS[kind]}, to step {_last_step(found):,.0f}; "
        f"from {found.origin}",
        markup=False,
    )
    return 0


def _last_step(found: Reference) -> float:
    return max(envelope.steps[-1] for envelope in found.envelopes.values())
