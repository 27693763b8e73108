"""A search of the few numbers that hand-made weights are made with, by their speedup over Adam.

What evolution strategies do for all weights (`optimizers.metatrain.loop`), CMA-ES does for some
forty numbers with a meaning: each candidate is a learned optimizer, and its aim is the mean of
log2 of its speedup over Adam's envelope on tasks and lengths that change every generation.

The log is the checkpoint: a search that goes on is told again what it has measured already, which
takes no time and gives the same numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from foundation.canonical import content_hash
from foundation.errors import StoreError, VelodromeError
from foundation.files import atomic_write_json, atomic_write_text
from optimizers.metatrain.card import Totals, compute_on_card
from optimizers.metatrain.envelope import Envelope, measure_envelope
from optimizers.metatrain.features import Numbers, featured_weights
from optimizers.metatrain.fields import UnrollConfig
from optimizers.metatrain.log import LOG, read_log, write_record
from optimizers.metatrain.loop import CHECKPOINT, WEIGHTS, MetaTrainResult
from optimizers.metatrain.numbers import moved, numbers_from, rounded
from optimizers.metatrain.program import open_program, repeat_all
from optimizers.metatrain.search_config import SearchConfig
from optimizers.metatrain.strategy import Strategy
from optimizers.metatrain.tasks import InnerTask, draw_problems, open_task, pool_hash, sample_pool
from optimizers.metatrain.unroll import Problem, batches_needed
from optimizers.velo import VeLOWeights
from optimizers.velo.store import save_weights
from taskgen import TaskSpec
from taskgen.draws import Draws
from taskgen.space import log_int

ENVELOPES = "envelopes.json"

#: Lengths are rounded down to a multiple of this, but not below the lowest.
_LENGTH_STEP = 10


class Searcher:
    """A search in memory. `search_numbers` adds directories and resuming.

    Args:
      config: What to do.
      envelopes: Adam's envelope of each task of the pool, by the hash of its spec.
    """

    def __init__(self, config: SearchConfig, envelopes: Mapping[str, Envelope]):
        self.config = config
        self.specs = pool(config)
        self._envelopes = envelopes
        longest = config.lengths.high
        self._unroll = UnrollConfig(low=longest, high=longest, objective="tail")

    def numbers(self, candidate: Iterable[float]) -> Numbers:
        """Returns the numbers of a candidate: distances from the start in units of the scales."""
        distances = dict(zip(self.config.searched, candidate, strict=True))
        return numbers_from(
            {
                name: moved(name, start, scale * float(distances.get(name, 0.0)))
                for name, (start, scale) in self.config.numbers.items()
            }
        )

    def weights(self, numbers: Numbers) -> VeLOWeights:
        """Returns the weights that are made with numbers."""
        return searched_weights(self.config, numbers)

    def evaluate(self, index: int, candidates: Sequence[Iterable[float]]) -> dict[str, Any]:
        """Returns the record of generation ``index``: a pure function of the arguments."""
        weights = _stacked([self.weights(self.numbers(row)) for row in candidates])
        aims = np.zeros(len(candidates))
        record: dict[str, Any] = {"generation": index, "tasks": [], "inner_steps": 0}
        for slot in range(self.config.strategy.tasks):
            spec, length, draws = self.draw(index, slot)
            found = self._speedups(spec, weights, length, draws, problems=1)
            aims += found / self.config.strategy.tasks
            record["tasks"].append(
                {
                    "task": spec.label,
                    "family": spec.family,
                    "length": length,
                    "mean": round(float(np.mean(found)), 4),
                    "best": round(float(np.max(found)), 4),
                }
            )
            record["inner_steps"] += len(candidates) * length
        return {**record, "aims": aims.tolist()}

    def check(self, numbers: Numbers, length: int) -> dict[str, Any]:
        """Returns how weights do on the whole pool, on problems that no generation has seen."""
        count = self.config.strategy.population
        weights = _stacked([self.weights(numbers)] * count)
        by_task = {
            spec: self._speedups(
                spec, weights, length, Draws(self.config.seed, "check", spec.hash), problems=count
            )
            for spec in self.specs
        }
        means = np.array([np.mean(found) for found in by_task.values()])
        families = {
            family: float(np.mean([m for m, s in zip(means, by_task) if s.family == family]))  # noqa: B905
            for family in self.config.tasks.families
        }
        return {
            "steps": length,
            "mean": round(float(np.mean(means)), 3),
            "median": round(float(np.median(means)), 3),
            "share_faster": round(float(np.mean(means > 0)), 3),
            "mean_by_family": {family: round(mean, 3) for family, mean in families.items()},
        }

    def draw(self, index: int, slot: int) -> tuple[TaskSpec, int, Draws]:
        """Returns the task and the length of a slot of a generation, and draws for its problem."""
        draws = Draws(self.config.seed, "generation", index, slot)
        families = self.config.tasks.families
        turn = index * self.config.strategy.tasks + slot
        mine = [spec for spec in self.specs if spec.family == families[turn % len(families)]]
        spec = mine[draws.word("task") % len(mine)]
        low, high = self.config.lengths.low, self.config.lengths.longest(spec.family)
        length = log_int(low, high + 1).sample(draws, "length")
        return spec, max(low, length - length % _LENGTH_STEP), draws.child("problem")

    def _speedups(
        self, spec: TaskSpec, weights: VeLOWeights, length: int, draws: Draws, *, problems: int
    ) -> np.ndarray:
        inner, run = open_program(spec, (), self._unroll)
        drawn = self._problems(inner, draws, problems)
        lanes = len(jax.tree.leaves(weights)[0])
        losses = np.asarray(run(weights, repeat_all(drawn, lanes // problems), length).last)
        envelope = self._envelopes[spec.hash]
        return np.array([envelope.log2_speedup(float(loss), length) for loss in losses])

    def _problems(self, inner: InnerTask, draws: Draws, count: int) -> Problem:
        batches = batches_needed(self._unroll, longest=self._unroll.high)
        return draw_problems(inner, draws, count=count, batches=batches)


def search_numbers(
    config: SearchConfig,
    out_dir: str | os.PathLike[str],
    *,
    resume: bool = True,
    max_seconds: float | None = None,
    report: Callable[[str], None] | None = None,
) -> MetaTrainResult:
    """Searches the numbers of hand-made weights.

    In ``out_dir``: ``config.json``; ``envelopes.json``, Adam's on each task; ``log.jsonl``, a
    record a generation and one for each length that is checked in the end; and
    ``weights.safetensors`` with its card, which lists the numbers, made when the call ends.

    Args:
      config: What to do.
      out_dir: A directory of this search's own; it is made if it is missing.
      resume: Go on with what ``out_dir`` has; the numbers are those of an undisturbed search.
        False: start again (Adam's envelopes are kept, if they are the same).
      max_seconds: Stop before the next task's envelope, generation or check once this call has
        taken so long.
      report: Called with one line a generation. None: lines go to standard error.

    Returns:
      The weights of the averaged numbers, rounded to three digits; ``finished`` says whether all
      generations were made.

    Raises:
      StoreError: ``out_dir`` has another search, or one that cannot be gone on with here.
      VelodromeError: The library cma is missing, or nothing can be written.
      SpecError: The config asks for what cannot be.
    """
    out = Path(out_dir)
    say = report or _to_stderr
    if (out / CHECKPOINT).exists():
        raise StoreError(f"{out} is of an evolution, whose log this would replace. Choose another.")
    deadline = math.inf if max_seconds is None else time.perf_counter() + max_seconds
    records, checked = _restore(out, config) if resume else ([], [])
    strategy = Strategy(config.strategy, len(config.searched), seed=config.seed)
    for record in records:
        strategy.replay(record)
    if records:
        say(f"resuming at generation {len(records)}")
    out.mkdir(parents=True, exist_ok=True)
    # First, so that no config is ever beside another one's log; and without what comes after a
    # line that a kill cut short.
    kept = [*records, *checked]
    atomic_write_text(out / LOG, "".join(json.dumps(record) + "\n" for record in kept))
    atomic_write_json(out / "config.json", config.to_json())
    searcher = Searcher(config, _envelopes(out / ENVELOPES, config, say, deadline))

    def save() -> tuple[VeLOWeights, Path]:
        numbers = rounded(searcher.numbers(strategy.average))
        weights = searcher.weights(numbers)
        card = _card(searcher, numbers, _totals(records), checked)
        return weights, save_weights(out / WEIGHTS, weights, card)

    try:
        with (out / LOG).open("a") as log:
            while len(records) < config.strategy.generations and time.perf_counter() < deadline:
                now, cpu = time.perf_counter(), time.process_time()
                candidates = strategy.ask()
                record = searcher.evaluate(len(records), candidates)
                record["candidates"] = strategy.fingerprint(candidates)
                record["seconds"] = round(time.perf_counter() - now, 3)
                record["cpu_seconds"] = round(time.process_time() - cpu, 3)
                write_record(log, record)
                records.append(record)
                strategy.tell(candidates, record["aims"])
                say(_line(record))
            finished = len(records) >= config.strategy.generations
            for length in config.lengths.checked[len(checked) :] if finished else ():
                if time.perf_counter() >= deadline:
                    break
                numbers = rounded(searcher.numbers(strategy.average))
                found = {"generations": len(records), **searcher.check(numbers, length)}
                write_record(log, found)
                checked.append(found)
                say(_check_line(found))
    except BaseException:
        # Whatever ends it, an interrupt included, there are weights of what was found.
        with contextlib.suppress(VelodromeError):
            save()
        raise
    weights, path = save()
    return MetaTrainResult(weights, _totals(records), path, finished)


def pool(config: SearchConfig) -> list[TaskSpec]:
    """Returns the tasks of a search."""
    tasks = config.tasks
    return sample_pool(tasks, seed=tasks.seed, per_family=tasks.per_family)


def searched_weights(config: SearchConfig, numbers: Numbers) -> VeLOWeights:
    """Returns the weights of a config's size and seed that are made with numbers."""
    key = jax.random.key(Draws(config.seed, "weights").word("key") >> 32)
    size = config.architecture
    return featured_weights(key, hidden=size.hidden, bank=size.bank, numbers=numbers)


def _envelopes(
    path: Path, config: SearchConfig, say: Callable[[str], None], deadline: float
) -> dict[str, Envelope]:
    """Returns Adam's envelopes, measured or kept; each is written as soon as it is measured."""
    specs = pool(config)
    key = content_hash([config.to_json()["envelope"], config.seed])
    kept = _kept(path, key)
    for at, spec in enumerate(specs):
        if spec.hash in kept:
            continue
        if time.perf_counter() >= deadline:
            break
        draws = Draws(config.seed, "envelope", spec.hash)
        kept[spec.hash] = measure_envelope(open_task(spec, vary=()), config.envelope, draws)
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


def _restore(out: Path, config: SearchConfig) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the records of the generations and of the checks of the search in a directory.

    Raises:
      StoreError: It is another search, or has more generations than the config.
    """
    log = read_log(out / LOG)
    if not log:
        return [], []
    again = "Choose another directory, or start again with resume=False (--restart)."
    try:
        kept = SearchConfig.from_json(json.loads((out / "config.json").read_text()))
    except (OSError, ValueError) as error:
        raise StoreError(f"{out} has a log, but no config of a search: {error}. {again}") from error
    if kept.hash != config.hash:
        raise StoreError(
            f"{out} is of a search with another config ({kept.hash[:8]}, this one is "
            f"{config.hash[:8]}). {again}"
        )
    records = [record for record in log if "aims" in record]
    wanted = config.strategy.generations
    if len(records) > wanted:
        raise StoreError(
            f"{out} has {len(records)} generations, more than strategy.generations ({wanted}): "
            f"ask for as many. {again}"
        )
    return records, [record for record in log if record.get("generations") == wanted]


def _card(searcher: Searcher, numbers: Numbers, totals: Totals, checked: Any) -> dict[str, Any]:
    return {
        "training": {
            "method": "separable CMA-ES of the numbers of hand-made weights; aim: log2 of the "
            "speedup over Adam's envelope",
            "made_by": "optimizers/metatrain/features.py",
            "numbers": dataclasses.asdict(numbers),
            "config": searcher.config.to_json(),
            "tasks_hash": pool_hash(searcher.specs),
            "tasks": len(searcher.specs),
            "compute": {
                **compute_on_card(totals),
                "what": "the generations, without Adam's envelopes and the checks in the end",
            },
        },
        "results": {"training tasks": checked},
    }


def _totals(records: Sequence[Mapping[str, Any]]) -> Totals:
    return Totals(
        steps=len(records),
        inner_steps=sum(record["inner_steps"] for record in records),
        pairs=sum(len(record["aims"]) // 2 for record in records),
        seconds=sum((record["seconds"] for record in records), 0.0),
        cpu_seconds=sum((record["cpu_seconds"] for record in records), 0.0),
    )


def _stacked(weights: Sequence[VeLOWeights]) -> VeLOWeights:
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves), jnp.float32), *weights)


def _line(record: Mapping[str, Any]) -> str:
    aims = record["aims"]
    tasks = " ".join(
        f"{row['family']} {row['mean']:+.2f}@{row['length']}" for row in record["tasks"]
    )
    return (
        f"{record['generation']:6d}  mean {np.mean(aims):+.2f} best {max(aims):+.2f}  {tasks}  "
        f"{record['seconds']:.1f} s"
    )


def _check_line(found: Mapping[str, Any]) -> str:
    return (
        f"on all tasks, {found['steps']} steps: mean log2 speedup {found['mean']:+.2f}, faster on "
        f"{found['share_faster']:.0%}"
    )


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
