"""``velodrome metatrain``: train a learned optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

import velodrome
from velodrome.commands._parsing import option, run_command
from velodrome.commands._tables import console
from velodrome.foundation.errors import SpecError
from velodrome.optimizers.metatrain.config.config import MetaTrainConfig, builtin_configs, load_plan
from velodrome.optimizers.metatrain.config.search import SearchConfig

EXAMPLES = (
    "velodrome metatrain --config toy --out runs/toy",
    "velodrome metatrain --config velo-tiny --out runs/velo-tiny   # needs the extra search",
    "velodrome run demo --out runs/mine --optimizers velo:runs/velo-tiny/weights.safetensors,adam",
)

_CONFIG_HELP = (
    f"A built-in config ({', '.join(builtin_configs())}), or a JSON file with the fields of "
    "velodrome.MetaTrainConfig or, for a search, velodrome.SearchConfig."
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(metatrain, arguments, name="metatrain", examples=EXAMPLES)


def metatrain(
    *,
    config: Annotated[str, arg(metavar="NAME|FILE", help=_CONFIG_HELP)],
    out: Annotated[Path, arg(metavar="DIR")],
    restart: bool = False,
    max_minutes: Annotated[float | None, option("M")] = None,
    workers: Annotated[int, option("N")] = 0,
) -> int:
    """Train a learned optimizer over sampled tasks: evolution strategies, or a search.

    A config with the method "search" searches the few numbers of hand-made weights; any other
    evolves all weights. Ctrl-C and SIGTERM stop it after the current step; the same command resumes
    it.

    Args:
      config: The name of a built-in config, or a JSON file.
      out: Where checkpoints, the log, and the weights go.
      restart: Start from the beginning, and delete the log, the checkpoint and the weights of
        the run in the directory.
      workers: Ray workers that share the work: on this machine, or on the cluster that the
        environment variable RAY_ADDRESS names. Needs the extra "ray". Default: none.
      max_minutes: Stop after this time, as if interrupted. Default: when it is finished.
    """
    if max_minutes is not None and not 0 <= max_minutes < float("inf"):
        raise SpecError("--max-minutes", max_minutes, "a number of minutes, 0 or more")
    if workers < 0:
        raise SpecError("--workers", workers, "an integer of at least 0")
    from velodrome.suites.training.compilation_cache import (  # noqa: PLC0415 - help needs no jax
        use_compilation_cache,
    )

    settings = load_plan(config)
    if isinstance(settings, SearchConfig) and workers:
        raise SpecError("--workers", workers, "0: a search runs in this process alone")
    use_compilation_cache()
    seconds = None if max_minutes is None else 60.0 * max_minutes
    if isinstance(settings, SearchConfig):
        result = velodrome.search_numbers(settings, out, resume=not restart, max_seconds=seconds)
    else:
        result = velodrome.metatrain(
            settings, out, resume=not restart, max_seconds=seconds, workers=workers
        )
    if result.finished:
        console().print(f"the weights are in {result.path}", markup=False)
    else:
        console().print(
            f"stopped early, after {result.totals.steps} of {_steps(settings)}: the same command"
            f"{', without --restart,' if restart else ''} resumes it. The weights so far are in "
            f"{result.path}",
            markup=False,
        )
    return 0


def _steps(settings: MetaTrainConfig | SearchConfig) -> str:
    if isinstance(settings, MetaTrainConfig):
        return f"{settings.outer.steps} outer steps"
    return f"{settings.strategy.generations} generations"
