"""The outer loop: estimate, step, record; resumable at any moment with the same numbers."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from velodrome.foundation.errors import SpecError, StoreError
from velodrome.foundation.files import atomic_write_json, resolved
from velodrome.foundation.tensorboard import require_tensorboard
from velodrome.optimizers.metatrain import directory, log
from velodrome.optimizers.metatrain.card import Totals, make_card
from velodrome.optimizers.metatrain.checkpoint import load_checkpoint, read_record, save_checkpoint
from velodrome.optimizers.metatrain.config.config import MetaTrainConfig
from velodrome.optimizers.metatrain.directory import OTHERWISE, opened, stopping
from velodrome.optimizers.metatrain.es.outer import OuterState
from velodrome.optimizers.metatrain.es.tasks import pool_hash
from velodrome.optimizers.metatrain.es.unroll import Carry
from velodrome.optimizers.metatrain.log import Record
from velodrome.optimizers.metatrain.ray_workers import RayTrainer
from velodrome.optimizers.metatrain.trainer import MetaTrainer, TrainState
from velodrome.optimizers.metatrain.validation import Baseline, Validator
from velodrome.optimizers.velo.weights.store import save_weights
from velodrome.optimizers.velo.weights.tree import VeLOWeights
from velodrome.taskgen.numerics import numerics


@dataclasses.dataclass(frozen=True)
class MetaTrainResult:
    """What `metatrain` and `search_numbers` return.

    Attributes:
      weights: The averaged weights; of a search those of the averaged numbers.
      totals: The cost.
      path: The exported weights.
      finished: Whether everything was done: all outer steps and the last validation, all
        generations and the checks. Not so if time ran out.
    """

    weights: VeLOWeights
    totals: Totals
    path: Path
    finished: bool


@numerics()
def metatrain(
    config: MetaTrainConfig,
    out_dir: str | os.PathLike[str],
    *,
    resume: bool = True,
    max_seconds: float | None = None,
    workers: int = 0,
    report: Callable[[str], None] | None = None,
) -> MetaTrainResult:
    """Meta-train VeLO weights.

    In ``out_dir``: ``config.json``; ``checkpoint.npz``; ``log.jsonl``, one record an outer step
    and one a validation; ``baseline.json``, Adam's results on the validation tasks;
    ``weights.safetensors`` with its card, the averaged weights, renewed with every checkpoint.

    Args:
      out_dir: A directory for this run alone; it is made if it is missing.
      resume: Resume from the checkpoint in ``out_dir`` if there is one; the numbers are those of
        an undisturbed run. False: start again, and delete what another run left (Adam's results
        are kept).
      max_seconds: Stop (with a checkpoint) before the next outer step, or the next validation
        task that Adam is measured on, once this call has taken so long. Ctrl-C and SIGTERM stop
        it there too.
      workers: Ray workers that share the tasks of each outer step; 0: this process alone. What
        workers keep of inner problems under way (persistent ES) is not in the checkpoint.
      report: Called with one line an outer step. None: lines go to standard error.

    Raises:
      StoreError: Another run is at work in ``out_dir``, or it has the checkpoint of another
        config, a damaged one, a damaged log, a search, or weights alone.
      SpecError: The config asks for what cannot be, or a number is out of range.
      KeyboardInterrupt: After Ctrl-C or SIGTERM, once what was done is saved.

    Examples:
      >>> config = velodrome.MetaTrainConfig()  # doctest: +SKIP
      >>> found = velodrome.metatrain(config, "runs/mine")  # doctest: +SKIP
    """
    out = resolved(out_dir)
    say = report or log.to_stderr
    if config.record.tensorboard:
        require_tensorboard("set record.tensorboard to false")
    trainer = RayTrainer(config, workers=workers) if workers else MetaTrainer(config)
    try:
        with (
            stopping(max_seconds, say) as stop,
            opened(out, resume=resume, state=directory.CHECKPOINT),
        ):
            return _metatrain(config, out, trainer, workers, stop, say)
    finally:
        trainer.close()


def _metatrain(
    config: MetaTrainConfig,
    out: Path,
    trainer: MetaTrainer,
    workers: int,
    stop: Callable[[], bool],
    say: Callable[[str], None],
) -> MetaTrainResult:
    state, totals = trainer.init(), Totals()
    known = log.read_log(out / directory.LOG)
    if any("generation" in record for record in known):
        raise StoreError(f"{out} is of a search, whose log this would replace. {OTHERWISE}")
    if (out / directory.CHECKPOINT).is_file():
        state, totals = restore(out / directory.CHECKPOINT, trainer, config)
        say(f"resuming at outer step {totals.steps}")
    elif known and _kept_hash(out / directory.CONFIG) != config.hash:
        raise StoreError(f"{out} has the log of a run with another config. {OTHERWISE}")
    totals.workers = max(totals.workers, workers)
    validated, last_validation = log.resume_log(out / directory.LOG, known, totals.steps)
    atomic_write_json(out / directory.CONFIG, config.to_json())
    validate = _validation(config, out, stop, say)
    events = log.Events(out, first_step=totals.steps) if config.record.tensorboard else None

    began, cpu_began = time.perf_counter(), time.process_time()
    started = dataclasses.replace(totals)
    saved = began

    def save() -> Path:
        totals.seconds = started.seconds + time.perf_counter() - began
        totals.cpu_seconds = started.cpu_seconds + time.process_time() - cpu_began
        record = {
            "config": config.hash,
            "tasks_hash": pool_hash(trainer.specs),
            "totals": dataclasses.asdict(totals),
        }
        record["episodes"] = {str(at): row.to_json() for at, row in state.episodes.items()}
        save_checkpoint(out / directory.CHECKPOINT, arrays(state), record)
        card = make_card(config, trainer.specs, totals, last_validation)
        return save_weights(out / directory.WEIGHTS, state.outer.average, card)

    def record_validation() -> None:
        nonlocal validated, last_validation
        if validate is None or validated == totals.steps:
            return
        found = validate(state)
        log.write_record(file, {"validation": totals.steps, **found})
        say(log.validation_line(totals.steps, found))
        if events:
            events.validation(totals.steps, found)
        validated, last_validation = totals.steps, found

    with (out / directory.LOG).open("a") as file:
        try:
            while totals.steps < config.outer.steps:
                if stop():
                    break
                if validate and totals.steps % config.record.validate_every == 0:
                    record_validation()
                    if stop():
                        break
                now = time.perf_counter()
                new_state, record = trainer.step(state, totals.steps)
                record["seconds"] = round(time.perf_counter() - now, 3)
                state = new_state
                totals.steps += 1
                totals.inner_steps += record["inner_steps"]
                totals.pairs += record["pairs"]
                totals.dropped += record["dropped"]
                totals.lost += record.get("lost", 0)
                log.write_record(file, record)
                if events:
                    events.step(record)
                say(log.step_line(record))
                if time.perf_counter() - saved > config.record.checkpoint_seconds:
                    save()
                    saved = time.perf_counter()
            finished = totals.steps >= config.outer.steps
            if finished and _validates(config) and validated != totals.steps:
                save()
                if finished := validate is not None and not stop():
                    record_validation()
        finally:
            # Whatever ends the loop, an interrupt included, the last whole step is kept.
            path = save()
            if events:
                events.close()
    return MetaTrainResult(state.outer.average, totals, path, finished)


def arrays(state: TrainState) -> tuple[OuterState, dict[str, Carry]]:
    """Return what of a state a checkpoint keeps as arrays."""
    return state.outer, {str(at): row.carry for at, row in state.episodes.items()}


def restore(path: Path, trainer: MetaTrainer, config: MetaTrainConfig) -> tuple[TrainState, Totals]:
    """Return the state in a checkpoint, and what had been done by then.

    Raises:
      StoreError: The checkpoint is damaged, or of another config or other tasks.
    """
    record = read_record(path)
    if record["config"] != config.hash:
        raise StoreError(
            f"{path} is from a run with another config ({record['config'][:8]}, this one is "
            f"{config.hash[:8]}). {OTHERWISE}"
        )
    if record.get("tasks_hash", tasks := pool_hash(trainer.specs)) != tasks:
        raise StoreError(
            f"{path} is from a run with other tasks: the code of a family has changed since. "
            f"{OTHERWISE}"
        )
    rows = {int(at): row for at, row in record.get("episodes", {}).items()}
    episodes = {at: trainer.restored(at, row) for at, row in rows.items()}
    template = TrainState(trainer.init().outer, episodes)
    outer, carries = load_checkpoint(path, arrays(template))
    episodes = {at: dataclasses.replace(episodes[at], carry=carries[str(at)]) for at in rows}
    return TrainState(outer, episodes), Totals(**record["totals"])


def _kept_hash(path: Path) -> str | None:
    try:
        return MetaTrainConfig.from_json(json.loads(path.read_text())).hash
    except (OSError, ValueError, SpecError):
        return None


def _validates(config: MetaTrainConfig) -> bool:
    return config.record.validate_every > 0 and config.tasks.validation_per_family > 0


def _validation(
    config: MetaTrainConfig, out: Path, stop: Callable[[], bool], say: Callable[[str], None]
) -> Callable[[TrainState], Record] | None:
    """Return what validates; None if nothing shall, or time was up before Adam was measured."""
    if not _validates(config):
        return None
    validator = Validator(config)
    path = out / "baseline.json"
    found = _kept_baselines(path, validator.baseline_key)
    for at in range(len(found), len(validator.tasks)):
        if stop():
            return None
        say(f"measuring Adam on the validation tasks, {at + 1} of {len(validator.tasks)}")
        found.append(validator.baseline(at))
        rows = [dataclasses.asdict(row) for row in found]
        record = {"key": validator.baseline_key, "steps": validator.steps, "adam": rows}
        atomic_write_json(path, record)
    return lambda state: validator(state.outer.average, found)


def _kept_baselines(path: Path, key: str) -> list[Baseline]:
    """Return what was measured before; nothing if it was something else."""
    try:
        kept = json.loads(path.read_text())
        return [Baseline(**row) for row in kept["adam"]] if kept["key"] == key else []
    except (OSError, ValueError, KeyError, TypeError):
        return []  # missing, damaged, or of an older version; it only saves time
