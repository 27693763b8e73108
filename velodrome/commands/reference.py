"""``velodrome reference``: the published envelopes. Imports no jax."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from velodrome.commands._parsing import run_command
from velodrome.commands._tables import console, print_table
from velodrome.foundation.errors import VelodromeError

EXAMPLES = (
    "velodrome reference fetch                           # 3.5 MB over HTTPS, into the cache",
    "velodrome reference fetch --from speedup_over_adam.json",
    "velodrome reference list",
)


def command(arguments: Sequence[str]) -> int:
    """Parses the arguments and runs the command."""
    return run_command(reference, arguments, name="reference", examples=EXAMPLES)


def reference(
    action: Positional[Literal["fetch", "list"]],
    /,
    *,
    kind: Literal["adam", "four-optimizers"] = "adam",
    source: Annotated[Path | None, arg(name="from", metavar="FILE", help_behavior_hint="")] = None,
    unverified: bool = False,
) -> int:
    """Fetch or list the published curves that ours can be compared with.

    They are envelopes: for each published task, the lowest smoothed train loss that any rate of a
    sweep had reached by each step. The report draws that of Adam beside ours, once it is fetched.

    Args:
      action: What to do.
      kind: adam is Adam at a constant rate, which speedups are measured against; four-optimizers
        is the best of Adam with three schedules and of RAdam, which is lower.
      source: A file to take instead of fetching it: JSON, or that in gzip.
      unverified: Take also a file whose numbers do not tell its kind, as one of a few tasks.
    """
    if action == "list":
        if source is not None or unverified:
            raise VelodromeError(
                "`velodrome reference list` takes no --from and no --unverified; leave them out."
            )
        print_table(("reference", "#tasks", "#last step", "from"), _list())
        return 0
    from velodrome.results.analyses.reference import WORDS, fetch_reference

    found = fetch_reference(kind, source=source, unverified=unverified)
    last = max(envelope.steps[-1] for envelope in found.envelopes.values())
    console().print(
        f"{len(found.envelopes)} tasks, {WORDS[kind]}, to step {last:,.0f}; from {found.origin}",
        markup=False,
    )
    return 0


def _list() -> Iterator[Sequence[object]]:
    from velodrome.results.analyses.reference import WORDS, load_reference

    for kind in WORDS:
        found = load_reference(kind)
        if found is None:
            yield kind, "", "", f"not here yet: velodrome reference fetch --kind {kind}"
            continue
        last = max(envelope.steps[-1] for envelope in found.envelopes.values())
        yield kind, len(found.envelopes), f"{last:,.0f}", found.origin
