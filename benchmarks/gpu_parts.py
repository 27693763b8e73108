"""What `gpu.py` measures of a device: sections of parts, each a row of numbers."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
from sweep_arms import measure_modes
from sweep_worker import TASKS, suite_of
from velo_problems import (
    NUM_STEPS,
    PROBLEMS,
    Arm,
    adam,
    arrays,
    built_in,
    compile_seconds,
    full_size_weights,
    in_turns,
    ours,
)

from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.optimizers.velo.optimizer import velo_from_theta
from velodrome.suites.planning.batching import ACCELERATOR_BYTES
from velodrome.suites.suite import Suite
from velodrome.suites.training.compiled_task import CompiledTask
from velodrome.taskgen.calibrate import calibration_specs, measure_step_seconds, profile_of_times
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

Row: TypeAlias = dict[str, object]

#: What we hold VeLO of the official size to: seconds to trace and compile the training program of
#: the transformer, and the time of an update of 10 M parameters over that of its memory traffic.
COMPILE_SECONDS = 20.0
TRAFFIC_RATIO = 2.0

#: Bytes that VeLO of the official size reads and writes for each parameter at least: 18 floats.
BYTES_PER_PARAMETER = 72

TRANSFORMER = "transformer 6x128"
_MLP = "mlp-784-128-128-10"


@dataclass(frozen=True)
class Section:
    """Parts that are measured one after another.

    Attributes:
      seconds: After them no other part begins.
      verdict: Says what follows from the rows of the parts that were measured.
    """

    name: str
    seconds: float
    parts: Mapping[str, Callable[[], Row]]
    verdict: Callable[[Mapping[str, Row]], Iterator[str]]


def sections(*, small: bool) -> list[Section]:
    """Return all sections, the most important part of each first."""
    return [_compile(small), _update(small), _batching(small), _calibrate(small)]


# Compiling


def _compile(small: bool) -> Section:
    made = {
        "VeLO, official size": OptimizerSpec(
            name="velo-official-size",
            label="VeLO",
            factory=lambda num_steps: velo_from_theta(full_size_weights(), num_steps),
            needs=frozenset({"value", "num_steps"}),
        ),
        "velo-tiny": optimizers.get("velo"),
        "Adam": optimizers.get("adam"),
    }
    tasks = {TRANSFORMER: _transformer_suite(), _MLP: suite_of(_MLP)}
    if small:
        made = {"Adam": made["Adam"]}
        tasks = {"mlp-64-16-16-10": suite_of("mlp-64-16-16-10")}
    parts: dict[str, Callable[[], Row]] = {
        f"{task}: {label}": functools.partial(_training_program, suite, optimizer)
        for label, optimizer in made.items()
        for task, suite in tasks.items()
    }
    update = "mlp-64-16-16-10" if small else "transformer-6x128"
    make = adam if small else ours
    parts[f"{update}: the update alone"] = lambda: {"seconds": compile_seconds(make, update)}

    def verdict(rows: Mapping[str, Row]) -> Iterator[str]:
        if row := rows.get(f"{TRANSFORMER}: VeLO, official size"):
            yield _bar("compile: the transformer's training", row["seconds"], COMPILE_SECONDS, "s")

    return Section("compile", 170.0, parts, verdict)


def _transformer_suite() -> Suite:
    """A decoder of the widths and depth of `velo_problems`' transformer, on bytes."""
    config = {"d_model_per_head": 32, "num_heads": 4, "num_layers": 6, "sequence_length": 32}
    spec = TaskSpec("transformer", config, DataSpec("kjv"), 8)
    return dataclasses.replace(suite_of("transformer-2x64-t32"), tasks=(spec,))


def _training_program(suite: Suite, optimizer: OptimizerSpec) -> Row:
    """Trace and compile the program that a run calls, and call it once, for some steps."""
    task = CompiledTask(suite, 0)
    lanes = task.lane_batch(optimizer, NUM_STEPS, [0], optimizer.points[:1], [0])
    lanes.start(*lanes.initialize())
    steps = suite.protocol.eval_every
    lanes.train(task.data.training_block(0, 0, steps, NUM_STEPS), 0)
    first = lanes.programs.train.seconds
    start = time.perf_counter()
    lanes.train(task.data.training_block(0, steps, steps, NUM_STEPS), steps)
    jax.block_until_ready(lanes.state)
    return {"seconds": first - (time.perf_counter() - start), "parameters": task.task.cost.params}


# Updates


def _update(small: bool) -> Section:
    names = (
        ["mlp-64-16-16-10"] if small else dict.fromkeys(["mlp-10M", "transformer-6x128", *PROBLEMS])
    )
    parts: dict[str, Callable[[], Row]] = {
        "memory": lambda: {"copied bytes a second": copy_bandwidth(small)}
    }
    parts |= {name: functools.partial(_updates, name, small) for name in names}

    def verdict(rows: Mapping[str, Row]) -> Iterator[str]:
        if row := rows.get("mlp-10M"):
            ratio = row["VeLO over its traffic"]
            yield _bar("update: 10 M parameters over their traffic", ratio, TRAFFIC_RATIO, "times")

    return Section("update", 150.0, parts, verdict)


@functools.cache
def copy_bandwidth(small: bool) -> float:
    """Return the bytes a second that the device reads and writes in a large sum."""
    array = jnp.zeros((1 if small else 64) * 2**20, jnp.float32)
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        for _ in range(10):
            array = add(array)
        array.block_until_ready()
        best = min(best, (time.perf_counter() - start) / 10)
    return 2 * array.nbytes / best


def _updates(name: str, small: bool) -> Row:
    arms = {"Adam": Arm(adam, name, 20)}
    if not small:
        arms["velo-tiny"] = Arm(built_in, name, 20)
        arms["VeLO"] = Arm(ours, name, 20 if jax.default_backend() != "cpu" else 3)
    times = in_turns(arms, 2 if small else 9)
    count = sum(leaf.size for leaf in jax.tree.leaves(arrays(name, 0)))
    traffic = BYTES_PER_PARAMETER * count / copy_bandwidth(small) * 1e3
    row: Row = {"parameters": count, "traffic ms": traffic}
    row |= {f"{label} ms": value for label, value in times.items()}
    for label in [label for label in times if label != "Adam"]:
        row[f"{label} over Adam"] = times[label] / times["Adam"]
    if "VeLO" in times:
        row["VeLO over its traffic"] = times["VeLO"] / traffic
    return row


# Batching


def _batching(small: bool) -> Section:
    left_out = {"gru-t32", "mlp-196-32-32-32-10"}  # much like others
    names = ["mlp-64-16-16-10"] if small else [name for name in TASKS if name not in left_out]
    lanes = (2,) if small else (5, 15, 60, 240)

    def part(name: str) -> Row:
        found = measure_modes(name, lanes=lanes, clock=time.perf_counter)
        return {
            "MFLOP": found.mflop,
            "bytes a lane": found.memory_bytes,
            **{f"{mode} us": value for mode, value in found.microseconds.items()},
            **{f"{mode} compile s": value for mode, value in found.compile_seconds.items()},
        }

    parts = {name: functools.partial(part, name) for name in names}
    return Section("batching", 170.0, parts, functools.partial(_rule, lanes))


def _rule(lanes: tuple[int, ...], rows: Mapping[str, Row]) -> Iterator[str]:
    """Say what the constants of the batching rule should be on this device."""
    losing, needed = [], 0.0
    for name, row in rows.items():
        times = {count: _number(row[f"vmap{count} us"]) for count in lanes}
        best = min(times.values())
        if best > _number(row["sequential us"]):
            losing.append(f"{name} ({_number(row['MFLOP']):.3g} MFLOP)")
        enough = min(count for count, value in times.items() if value <= 1.1 * best)
        needed = max(needed, enough * _number(row["bytes a lane"]))
        gain = _number(row["sequential us"]) / best
        yield f"batching: {name}: vmap is {gain:.2g} times as fast; {enough} lanes are enough"
    if rows:
        yield (
            f"batching: vmap loses on {', '.join(losing) or 'none'}; ACCELERATOR_BYTES should be "
            f"{needed:.2g} or more, by these networks; it is {ACCELERATOR_BYTES:.2g}"
        )


# The profile


def _calibrate(small: bool) -> Section:
    specs, repeats = (calibration_specs()[:1], 1) if small else (calibration_specs(), 5)

    def profile() -> Row:
        seconds = measure_step_seconds(specs, repeats=repeats)
        found = profile_of_times(specs, seconds, name="measured", repeats=repeats)
        measured = dict(zip((spec.label for spec in specs), seconds, strict=True))
        return {**dataclasses.asdict(found), "seconds a step": measured}

    return Section("calibrate", 90.0, {"profile": profile}, lambda rows: iter(()))


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _bar(what: str, value: object, most: float, unit: str) -> str:
    kept = "kept" if _number(value) <= most else "NOT kept"
    return f"{what}: {_number(value):.3g} {unit} (at most {most:g}): {kept}"
