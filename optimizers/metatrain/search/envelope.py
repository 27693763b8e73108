"""Adam's envelope on a task, and the speedup over it with which a loss was reached."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.files import atomic_write_json
from velodrome.optimizers.metatrain.config.inner import UnrollConfig
from velodrome.optimizers.metatrain.config.search import EnvelopeConfig
from velodrome.optimizers.metatrain.es.program import make_particles, repeat_all
from velodrome.optimizers.metatrain.es.tasks import InnerTask, draw_problems, open_task
from velodrome.optimizers.metatrain.es.unroll import batches_needed
from velodrome.optimizers.metatrain.validation import adam
from velodrome.taskgen.space.draws import NamedRng
from velodrome.taskgen.spec import TaskSpec

#: Logarithms of speedups are cut here, so that no task outweighs all others.
MOST = 3.0

# What a loss that is not finite counts as, where the logarithm goes on below: the largest number.
_LARGEST_LOSS = float(np.finfo(np.float32).max)

# A loss of 0 has no logarithm.
_LEAST_LOSS = 1e-9
# A loss above the envelope's first is placed before its shortest run by its logarithm, times this.
_BEFORE = 2.0
# An envelope falls at least this much, so that it can be inverted where it is flat.
_SLOPE = 1e-6


@dataclass(frozen=True)
class Envelope:
    """Adam's lowest losses on a task.

    Attributes:
      lengths: Lengths of runs, growing.
      losses: For each length the lowest loss of any rate after at most as many steps: the mean
        training loss (nats) over the last tenth of a run.
    """

    lengths: tuple[int, ...]
    losses: tuple[float, ...]

    def log2_speedup(self, loss: float, steps: int, *, below: str = "cut") -> float:
        """Return log2 of how many times longer than ``steps`` Adam needs for a loss.

        Adam's time is interpolated in the logarithms of lengths and losses. A loss that Adam does
        not reach in its longest run counts as reached there. One that is above that of Adam's
        shortest run counts as reached earlier, in log2 by twice the difference of the logarithms.

        Args:
          loss: The loss that was reached (nats).
          steps: After how many steps.
          below: What counts below -`MOST`, see `StrategyConfig`.

        Returns:
          A number from -`MOST` to `MOST`, or below with the logarithm; the least of all for a loss
          that is not finite.
        """
        if not math.isfinite(loss):
            loss = _LARGEST_LOSS
        logs = np.log(np.maximum(self.losses, _LEAST_LOSS)) - _SLOPE * np.arange(len(self.losses))
        reached = math.log(max(loss, _LEAST_LOSS))
        if reached >= logs[0]:
            time = math.log2(self.lengths[0]) - _BEFORE * (reached - logs[0])
        else:
            time = float(np.interp(-reached, -logs, np.log2(self.lengths)))
        found = min(time - math.log2(steps), MOST)
        if found >= -MOST:
            return found
        return -MOST - (math.log1p(-MOST - found) if below == "logarithm" else 0.0)


def measure_envelope(inner: InnerTask, config: EnvelopeConfig, draws: NamedRng) -> Envelope:
    """Train a task with Adam at all rates, once at each length, and return its envelope.

    All runs share one problem, made from ``draws``.

    Raises:
      VelodromeError: At the shortest length all rates diverge.
    """
    longest = config.lengths[-1]
    unroll = UnrollConfig(low=longest, high=longest, objective="tail")
    run = make_particles(inner, unroll, adam)
    batches = batches_needed(unroll)
    problems = repeat_all(draw_problems(inner, draws, count=1, batches=batches), len(config.rates))
    rates = jnp.asarray(config.rates, jnp.float32)
    losses = np.stack([np.asarray(run(rates, problems, n).last) for n in config.lengths])
    best = np.min(np.where(np.isfinite(losses), losses, np.inf), axis=1)
    if not np.isfinite(best[0]):
        raise VelodromeError(
            f"Adam diverges on {inner.spec.label} at all of envelope.rates ({config.rates}) in "
            f"{config.lengths[0]} steps: there is nothing to compare with. Add lower rates."
        )
    return Envelope(config.lengths, tuple(np.minimum.accumulate(best).tolist()))


def envelopes(
    path: Path,
    specs: Sequence[TaskSpec],
    config: EnvelopeConfig,
    *,
    seed: int,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> dict[str, Envelope]:
    """Return envelopes of tasks by the hashes of their specs, measured or kept.

    They are kept in ``path``, a JSON file that is written whenever one was measured. Some are
    missing if ``stop`` says to measure no more.

    Raises:
      VelodromeError: All rates diverge on a task, or the file cannot be written.
    """
    key = content_hash([dataclasses.asdict(config), seed])
    kept = _kept(path, key)
    for at, spec in enumerate(specs):
        if spec.hash in kept:
            continue
        if stop():
            break
        draws = NamedRng(seed, "envelope", spec.spec_hash)
        kept[spec.hash] = measure_envelope(open_task(spec, vary=()), config, draws)
        say(f"Adam on {spec.label}, {at + 1} of {len(specs)}")
        rows = {name: dataclasses.asdict(envelope) for name, envelope in kept.items()}
        atomic_write_json(path, {"key": key, "envelopes": rows})
    return kept


def _kept(path: Path, key: str) -> dict[str, Envelope]:
    try:
        found = json.loads(path.read_text())
        rows = found["envelopes"] if found["key"] == key else {}
        return {
            name: Envelope(tuple(row["lengths"]), tuple(row["losses"]))
            for name, row in rows.items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # missing, damaged, or of an older version; they only save time
