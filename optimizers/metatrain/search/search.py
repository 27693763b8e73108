"""A search of the few numbers that hand-made weights are made with, by their speedup over Adam.

What evolution strategies do for all weights (`loop`), CMA-ES does for some forty numbers with a
meaning: each candidate is a learned optimizer, and its aim is the mean of log2 of its speedup over
Adam's envelope on tasks and lengths that change every generation.

The log is the checkpoint: a resumed search replays what was measured, which takes no time and gives
the same numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from velodrome.foundation.errors import StoreError, VelodromeError
from velodrome.foundation.files import atomic_write_json, atomic_write_text, resolved
from velodrome.optimizers.metatrain import directory, log
from velodrome.optimizers.metatrain.card import Totals, compute_on_card
from velodrome.optimizers.metatrain.config.reading import is_number
from velodrome.optimizers.metatrain.config.search import SearchConfig
from velodrome.optimizers.metatrain.directory import OTHERWISE, opened, stopping
from velodrome.optimizers.metatrain.es.tasks import pool_hash
from velodrome.optimizers.metatrain.log import Record
from velodrome.optimizers.metatrain.loop import MetaTrainResult
from velodrome.optimizers.metatrain.search.envelope import envelopes
from velodrome.optimizers.metatrain.search.searcher import Searcher, pool, searched_weights
from velodrome.optimizers.metatrain.search.strategy import Strategy
from velodrome.optimizers.velo.handmade.numbers import Numbers, rounded
from velodrome.optimizers.velo.weights.store import save_weights
from velodrome.optimizers.velo.weights.tree import VeLOWeights
from velodrome.taskgen.numerics import numerics
from velodrome.taskgen.spec import TaskSpec

ENVELOPES = "envelopes.json"


@numerics()
def search_numbers(
    config: SearchConfig,
    out_dir: str | os.PathLike[str],
    *,
    resume: bool = True,
    max_seconds: float | None = None,
    report: Callable[[str], None] | None = None,
) -> MetaTrainResult:
    """Search the numbers of hand-made weights.

    In ``out_dir``: ``config.json``; ``envelopes.json``, Adam's on each task; ``log.jsonl``, a
    record a generation and one for each length that is checked in the end; and
    ``weights.safetensors`` with its card, which lists the numbers, made when the call ends.

    Args:
      out_dir: A directory for this search alone; it is made if it is missing.
      resume: Resume the search in ``out_dir``; the numbers are those of an undisturbed one.
        False: start again, and delete what another run left (Adam's envelopes are kept, if they
        are the same).
      max_seconds: Stop before the next task's envelope, generation or check once this call has
        taken so long. Ctrl-C and SIGTERM stop it there too.
      report: Called with one line a generation. None: lines go to standard error.

    Returns:
      The weights of the averaged numbers, rounded to three digits; ``finished`` says whether all
      generations and checks were made.

    Raises:
      StoreError: Another run is at work in ``out_dir``, or it has another search or one that
        cannot be resumed here, a damaged log, an evolution, or weights alone.
      VelodromeError: The library cma is missing, or nothing can be written.
      SpecError: The config asks for what cannot be, or a number is out of range.
      KeyboardInterrupt: After Ctrl-C or SIGTERM, once what was found is saved.

    Examples:
      >>> numbers = {"step": (0.02, 0.5), "small": (5.0, 1.0)}  # doctest: +SKIP
      >>> config = velodrome.SearchConfig(numbers)  # doctest: +SKIP
      >>> found = velodrome.search_numbers(config, "runs/search")  # doctest: +SKIP
    """
    out = resolved(out_dir)
    say = report or log.to_stderr
    strategy = Strategy(config.strategy, len(config.searched), seed=config.seed)
    specs = pool(config)
    with stopping(max_seconds, say) as stop, opened(out, resume=resume, state=directory.LOG):
        return _search(config, out, strategy, specs, stop, say)


def _search(
    config: SearchConfig,
    out: Path,
    strategy: Strategy,
    specs: Sequence[TaskSpec],
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> MetaTrainResult:
    records, checked = _restore(out, config)
    for record in records:
        strategy.replay(record)
    if records:
        say(f"resuming at generation {len(records)}")
    atomic_write_json(out / directory.CONFIG, config.to_json())
    # Without a line that a kill cut short, and without checks after fewer generations.
    kept = [*records, *checked]
    atomic_write_text(out / directory.LOG, "".join(json.dumps(record) + "\n" for record in kept))
    found = envelopes(out / ENVELOPES, specs, config.envelope, seed=config.seed, stop=stop, say=say)
    searcher = Searcher(config, specs, found)

    def save() -> tuple[VeLOWeights, Path]:
        numbers = rounded(searcher.numbers(strategy.average))
        weights = searched_weights(config, numbers)
        card = _card(searcher, numbers, _totals(records), checked)
        return weights, save_weights(out / directory.WEIGHTS, weights, card)

    try:
        with (out / directory.LOG).open("a") as file:
            while len(records) < config.strategy.generations and not stop():
                now, cpu = time.perf_counter(), time.process_time()
                candidates = strategy.ask()
                record = searcher.evaluate(len(records), candidates)
                record["candidates"] = strategy.fingerprint(candidates)
                record["seconds"] = round(time.perf_counter() - now, 3)
                record["cpu_seconds"] = round(time.process_time() - cpu, 3)
                log.write_record(file, record)
                records.append(record)
                strategy.tell(candidates, record["aims"])
                say(_line(record))
            done = len(records) >= config.strategy.generations
            for length in config.lengths.checked[len(checked) :] if done else ():
                if stop():
                    break
                numbers = rounded(searcher.numbers(strategy.average))
                row = {"generations": len(records), **searcher.check(numbers, length)}
                log.write_record(file, row)
                checked.append(row)
                say(_check_line(row))
    except BaseException:
        # Whatever ends it, an interrupt included, there are weights of what was found.
        with contextlib.suppress(VelodromeError):
            save()
        raise
    weights, path = save()
    finished = done and len(checked) == len(config.lengths.checked)
    return MetaTrainResult(weights, _totals(records), path, finished)


def _restore(out: Path, config: SearchConfig) -> tuple[list[Record], list[Record]]:
    """Return the records of the generations and of the checks of the search in a directory.

    Raises:
      StoreError: It is another search or an evolution, its log is damaged, or it has more
        generations than the config.
    """
    if (out / directory.CHECKPOINT).exists():
        raise StoreError(f"{out} is of an evolution, whose log this would replace. {OTHERWISE}")
    known = log.read_log(out / directory.LOG)
    if not (out / directory.LOG).exists():
        return [], []
    try:
        kept = SearchConfig.from_json(json.loads((out / directory.CONFIG).read_text()))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{out} has a log, but no config of a search ({error}). {OTHERWISE}"
        ) from error
    if kept.hash != config.hash:
        raise StoreError(
            f"{out} is of a search with another config ({kept.hash[:8]}, this one is "
            f"{config.hash[:8]}). {OTHERWISE}"
        )
    records, checks = [], []
    for number, record in enumerate(known, start=1):
        if _is_check(record):
            checks.append(record)
        elif record.get("generation") == len(records) and _is_generation(record, config):
            records.append(record)
        else:
            raise log.damaged(out / directory.LOG, number)
    wanted = config.strategy.generations
    if len(records) > wanted:
        raise StoreError(
            f"{out} has {len(records)} generations, more than strategy.generations ({wanted}): "
            f"ask for as many. {OTHERWISE}"
        )
    return records, [record for record in checks if record["generations"] == wanted]


def _is_generation(record: Record, config: SearchConfig) -> bool:
    """Return whether a record has what `Strategy.replay` and `_totals` read."""
    aims = record.get("aims")
    return (
        isinstance(aims, list)
        and len(aims) == config.strategy.population
        and all(map(is_number, aims))
        and all(is_number(record.get(key)) for key in ("inner_steps", "seconds", "cpu_seconds"))
    )


def _is_check(record: Record) -> bool:
    return all(type(record.get(key)) is int for key in ("generations", "steps"))


def _card(
    searcher: Searcher, numbers: Numbers, totals: Totals, checked: Sequence[Record]
) -> Record:
    return {
        "training": {
            "method": "separable CMA-ES of the numbers of hand-made weights; aim: log2 of the "
            "speedup over Adam's envelope",
            "made_by": "velodrome.optimizers.velo.handmade.features",
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


def _totals(records: Sequence[Record]) -> Totals:
    return Totals(
        steps=len(records),
        inner_steps=sum(record["inner_steps"] for record in records),
        pairs=sum(len(record["aims"]) // 2 for record in records),
        seconds=sum((record["seconds"] for record in records), 0.0),
        cpu_seconds=sum((record["cpu_seconds"] for record in records), 0.0),
    )


def _line(record: Record) -> str:
    aims = record["aims"]
    tasks = " ".join(
        f"{row['family']} {row['mean']:+.2f}@{row['length']}" for row in record["tasks"]
    )
    return (
        f"{record['generation']:6d}  mean {np.mean(aims):+.2f} best {max(aims):+.2f}  {tasks}  "
        f"{record['seconds']:.1f} s"
    )


def _check_line(found: Record) -> str:
    return (
        f"on all tasks, {found['steps']} steps: mean log2 speedup {found['mean']:+.2f}, faster on "
        f"{found['share_faster']:.0%}"
    )
