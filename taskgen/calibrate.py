"""Measure this machine: a device profile fitted to the times of a few tasks."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import jax
import numpy as np
import psutil
from scipy import optimize

from velodrome.taskgen.budget import (
    DeviceProfile,
    check_profile_name,
    predict_seconds,
    save_profile,
)
from velodrome.taskgen.build import build
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.data.madeup import made_up_batch
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.description import cost
from velodrome.taskgen.spec import TaskSpec

# Round figures (FLOP/s, bytes/s, seconds a step, seconds a kernel) that the fit starts from, and
# stays near where the tasks do not decide: on a CPU, launching a kernel costs next to nothing.
_START = {"cpu": (1e11, 1e10, 2e-5, 1e-6), "gpu": (1e13, 5e11, 5e-5, 3e-6)}
_PRIOR_WEIGHT = 0.01
_LEARNING_RATE = 1e-3
_TIMING_SECONDS = 0.1  # rough length of one timing

# For each family: data, names of its fields, and their values with the batch size last.
_CALIBRATION_TASKS = {
    "mlp": (
        "digits",
        ("hidden_size", "num_layers", "image_size", "activation"),
        ((16, 1, 6, "tanh", 16), (64, 2, 16, "silu", 64), (256, 3, 28, "relu", 256)),
    ),
    "cnn": (
        "photos",
        ("hidden_size", "num_layers", "image_size", "activation"),
        ((8, 1, 8, "sin", 16), (16, 2, 16, "relu", 32), (32, 3, 24, "gelu", 64)),
    ),
    "rnn": (
        "kjv",
        ("cell", "rnn_size", "embed_size", "sequence_length"),
        (("gru", 16, 16, 8, 8), ("lstm", 64, 32, 32, 16), ("vanilla", 128, 64, 48, 64)),
    ),
    "transformer": (
        "kjv",
        ("d_model_per_head", "num_heads", "num_layers", "sequence_length"),
        ((8, 4, 1, 8, 4), (16, 8, 2, 32, 8), (24, 8, 3, 64, 16)),
    ),
}


def calibration_specs() -> list[TaskSpec]:
    """Return the tasks that are timed: small to middling, of each family."""
    return [
        TaskSpec(family, dict(zip(fields, values, strict=True)), DataSpec(data), batch_size)
        for family, (data, fields, tasks) in _CALIBRATION_TASKS.items()
        for *values, batch_size in tasks
    ]


def fit_profile(
    costs: Sequence[Cost],
    seconds: Sequence[float],
    *,
    name: str,
    device: str,
    memory_bytes: int,
    kind: str = "cpu",
    source: str = "",
) -> DeviceProfile:
    """Fit peaks and overheads so that predicted times are, in ratio, near the measured ones.

    Least squares of the logarithms, by Nelder and Mead's method, since the roofline's maximum
    has no derivative everywhere. ``seconds`` are those of a step of each task, and ``kind``, "cpu"
    or "gpu", says where the fit starts.
    """

    def profile(logs: np.ndarray) -> DeviceProfile:
        flops, bandwidth, overhead, kernel = (math.exp(value) for value in logs)
        return DeviceProfile(
            name=name,
            device=device,
            peak_flops=flops,
            peak_bytes_per_s=bandwidth,
            overhead_s=overhead,
            kernel_s=kernel,
            memory_bytes=memory_bytes,
            derate=1.0,  # the fit is to what programs reach
            measured=True,
            source=source,
        )

    start = np.log(_START[kind])
    measured = np.log(np.asarray(seconds))

    def misfit(logs: np.ndarray) -> float:
        candidate = profile(logs)
        predicted = np.log([predict_seconds(cost, candidate) for cost in costs])
        prior = _PRIOR_WEIGHT * np.square(logs - start).sum()
        return float(np.square(predicted - measured).sum() + prior)

    best = start
    for _ in range(4):  # restarts, because the method may stop on a shrunken simplex
        options = {"maxiter": 4000, "xatol": 1e-6, "fatol": 1e-9}
        best = optimize.minimize(misfit, best, method="Nelder-Mead", options=options).x
    return profile(best)


def calibrate(*, name: str = "here", repeats: int = 5) -> DeviceProfile:
    """Time a few tasks on this machine's default device, and save a profile of it.

    This takes about a minute, most of it compiling. The machine should be idle otherwise.

    Args:
      name: Name for the profile: ``velodrome sample --device NAME`` uses it.
      repeats: Timings of each task.

    Returns:
      The profile, which `velodrome.taskgen.budget.load_profile` finds by its name.
    """
    check_profile_name(name)  # now, not after a minute of timing
    specs = calibration_specs()
    seconds = measure_step_seconds(specs, repeats=repeats)
    profile = profile_of_times(specs, seconds, name=name, repeats=repeats)
    save_profile(profile)
    return profile


def profile_of_times(
    specs: Sequence[TaskSpec], seconds: Sequence[float], *, name: str, repeats: int
) -> DeviceProfile:
    """Fit a profile of this machine's default device to the measured seconds of ``specs``."""
    device = jax.devices()[0]
    limits = device.memory_stats() or {}  # a CPU has none
    return fit_profile(
        [cost(spec) for spec in specs],
        seconds,
        name=name,
        device=device.device_kind,
        memory_bytes=int(limits.get("bytes_limit", psutil.virtual_memory().total)),
        kind="cpu" if device.platform == "cpu" else "gpu",
        source=f"shortest of {repeats} timings of {len(specs)} tasks, jax {jax.__version__}",
    )


def measure_step_seconds(specs: Sequence[TaskSpec], *, repeats: int = 5) -> list[float]:
    """Return the seconds of a step of gradient descent, for each spec, on made-up data.

    Steps run inside one compiled loop, as they do in training. The tasks take turns, so that a
    machine whose speed drifts treats them alike; the shortest of ``repeats`` timings counts, which
    other programs disturbed least.
    """
    programs = [_Program(spec) for spec in specs]
    timings = [[program.time() for program in programs] for _ in range(repeats)]
    return [min(column) for column in zip(*timings, strict=True)]


class _Program:
    """A compiled loop of training steps that takes about ``_TIMING_SECONDS``."""

    def __init__(self, spec: TaskSpec):
        task = build(spec)
        key = jax.random.key(0)
        params, state = jax.jit(task.init)(key)
        self._arguments = (params, state, made_up_batch(spec.view, spec.batch_size), key)

        def run(params, state, batch, key, steps):
            def step(index, carry):
                params, state = carry
                gradient, state = jax.grad(task.loss, has_aux=True)(
                    params, state, jax.random.fold_in(key, index), batch, train=True
                )
                params = jax.tree.map(lambda p, g: p - _LEARNING_RATE * g, params, gradient)
                return params, state

            return jax.lax.fori_loop(0, steps, step, (params, state))

        self._run = jax.jit(run)
        self._time(1)  # compiles
        self._steps = 1
        while (taken := self._time(self._steps)) < _TIMING_SECONDS / 2:
            self._steps = math.ceil(self._steps * min(max(_TIMING_SECONDS / taken, 2), 8))

    def _time(self, steps: int) -> float:
        start = time.perf_counter()
        jax.block_until_ready(self._run(*self._arguments, np.int32(steps)))
        return time.perf_counter() - start

    def time(self) -> float:
        """Return the seconds of a step, from one timing."""
        return self._time(self._steps) / self._steps
