"""Processes that train the lanes of a benchmark's task on request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

LANES = 5
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)

# name: (family, config, data, batch size, steps of a lane in a round, least ratio)
TASKS: dict[str, tuple[str, dict[str, Any], str, int, int, float]] = {
    "mlp-784-128-128-10": (
        "mlp",
        {"hidden_size": 128, "num_layers": 2, "image_size": 28},
        "mnist5k",
        128,
        400,
        2.0,
    ),
    "mlp-64-16-16-10": (
        "mlp",
        {"hidden_size": 16, "num_layers": 2, "image_size": 8},
        "digits",
        16,
        2000,
        2.0,
    ),
    "mlp-196-32-32-32-10": (
        "mlp",
        {"hidden_size": 32, "num_layers": 3, "image_size": 14},
        "mnist5k",
        64,
        1000,
        2.0,
    ),
    "cnn-3x3": (
        "cnn",
        {"hidden_size": 32, "num_layers": 3, "num_stride2": 1, "image_size": 16},
        "photos",
        64,
        20,
        1.0,
    ),
    "gru-t32": (
        "rnn",
        {"cell": "gru", "rnn_size": 128, "embed_size": 64, "sequence_length": 32},
        "kjv",
        32,
        50,
        1.0,
    ),
    "lstm-t32": (
        "rnn",
        {"cell": "lstm", "rnn_size": 128, "embed_size": 64, "sequence_length": 32},
        "kjv",
        32,
        50,
        1.0,
    ),
    "transformer-2x64-t32": (
        "transformer",
        {"d_model_per_head": 32, "num_heads": 2, "num_layers": 2, "sequence_length": 32},
        "kjv",
        32,
        50,
        1.0,
    ),
}


class Worker:
    """A process that trains `LANES` lanes on request."""

    def __init__(self, arm: str, name: str, cores: list[int]):
        threads = {"NPROC": "1", "OMP_NUM_THREADS": "1"} if cores else {}
        root = str(Path(__file__).resolve().parents[1])
        self.process = subprocess.Popen(
            [sys.executable, __file__, arm, name, json.dumps(cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads, "PYTHONPATH": root, "XLA_FLAGS": ""},
            text=True,
        )

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def wait(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "done\n", "the process died"

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def suite_of(name: str) -> Any:
    from velodrome.suites.protocol import Protocol
    from velodrome.suites.suite import Suite
    from velodrome.taskgen.dataspec import DataSpec
    from velodrome.taskgen.spec import TaskSpec

    family, config, data, batch_size, steps, _ = TASKS[name]
    spec = TaskSpec(family=family, config=config, data=DataSpec(data), batch_size=batch_size)
    protocol = Protocol(
        steps=steps, seeds=1, baseline_multiple=1, learning_rates=RATES, heldout_every=50
    )
    return Suite(name, (spec,), protocol, ("adam",))


def _serve(arm: str, name: str, cores: list[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
    import sweep_arms

    from velodrome.taskgen.numerics import numerics

    with numerics():
        if arm == "modes":
            print(json.dumps(sweep_arms.modes(name)), flush=True)
            return
        train_lanes = {"ours": sweep_arms.ours, "user": sweep_arms.user}[arm](name)
        for _ in sys.stdin:
            train_lanes()
            print("done", flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
