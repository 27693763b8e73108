"""Measuring this machine: a device profile fitted to the times of a few tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import optimize

from velodrome.taskgen.budget import (
    DeviceProfile,
    check_profile_name,
    predict_seconds,
    save_profile,
)
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.spec import DataSpec, TaskSpec

# Round figures (FLOP/s, bytes/s, seconds a step, seconds a kernel) that the fit starts from, and
# is held near where the tasks do not say: on a CPU, launching a kernel costs next to nothing.
_START = {"cpu": (1e11, 1e10, 2e-5, 1e-6), "gpu": (1e13, 5e11, 5e-5, 3e-6)}
_PRIOR_WEIGHT = 0.01


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
    """Returns the tasks that are timed: small to middling, of each family."""
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
    """Fits peaks and overheads so that predicted times are, in ratio, near the measured ones.

    Least squares of the logarithms, by Nelder and Mead's method, since the roofline's maximum
    has no derivative everywhere.

    Args:
      costs: Cost of each task.
      seconds: Measured seconds of a step of each.
      name: Name of the profile.
      device: The device in words.
      memory_bytes: Its memory.
      kind: "cpu" or "gpu": where the fit starts.
      source: What was measured, when, with what.
    """

    def profile(logs: Any) -> DeviceProfile:
        flops, bandwidth, overhead, kernel = (math.exp(value) for value in logs)
        return DeviceProfile(
            name=name,
            device=device,
            peak_flops=flops,
            peak_bytes_per_s=bandwidth,
            overhead_s=overhead,
            kernel_s=kernel,
            memory_bytes=memory_bytes,
            derate=1.0,  # what is fitted is what programs reach
            measured=True,
            source=source,
        )

    start = np.log(_START[kind])
    measured = np.log(np.asarray(seconds))

    def misfit(logs: Any) -> float:
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
    """Times a few tasks on this machine's default device and saves a profile of it.

    Takes about a minute, most of it compiling. The machine should have nothing else to do.

    Args:
      name: Name for the profile: ``velodrome sample --device NAME`` uses it.
      repeats: Timings of each task.

    Returns:
      The profile, which :func:`velodrome.taskgen.budget.load_profile` finds by its name from now on.
    """
    from velodrome.taskgen.measure import measure_step_seconds  # here, so that fitting needs no jax

    check_profile_name(name)  # now, not after a minute of timing
    specs = calibration_specs()
    profile = profile_of_times(
        specs, measure_step_seconds(specs, repeats=repeats), name=name, repeats=repeats
    )
    save_profile(profile)
    return profile


def profile_of_times(
    specs: Sequence[TaskSpec], seconds: Sequence[float], *, name: str, repeats: int
) -> DeviceProfile:
    """Fits a profile of this machine's default device to the measured seconds of ``specs``."""
    import jax  # here, so that fitting needs no jax

    from velodrome.taskgen.description import cost

    device = jax.devices()[0]
    return fit_profile(
        [cost(spec) for spec in specs],
        seconds,
        name=name,
        device=device.device_kind,
        memory_bytes=_memory_bytes(device),
        kind="cpu" if device.platform == "cpu" else "gpu",
        source=f"shortest of {repeats} timings of {len(specs)} tasks, jax {jax.__version__}",
    )


def _memory_bytes(device: Any) -> int:
    limits = device.memory_stats() or {}  # a CPU tells nothing
    if "bytes_limit" in limits:
        return int(limits["bytes_limit"])
    import psutil

    return int(psutil.virtual_memory().total)
