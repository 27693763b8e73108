"""What a notebook defines is known by its compiled code and the values that it refers to."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import optax
import pytest

from velodrome.foundation.definitions import code_of

CELL = """
import functools
from dataclasses import dataclass
import numpy as np

DECAY = {decay}
TABLE = np.asarray([1.0, {table}])

def helper(x, power={power}):
    return x ** power

def scaled(factor):
    return lambda x: factor * x

inner = scaled({factor})

@dataclass
class Config:
    width: int = {width}

    @property
    def double(self):
        return {times} * self.width

def made(x):
    if x in {{"a", "b", {member!r}}}:
        return Config()
    return DECAY * helper(inner(x)) + TABLE[0]

wrapped = functools.partial(made, {argument})
"""
FIRST = {
    "decay": 0.9,
    "table": 2,
    "power": 2,
    "factor": 3,
    "width": 4,
    "times": 2,
    "member": "c",
    "argument": 1,
}


def cell(**changes: Any) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(CELL.format(**{**FIRST, **changes}), names)
    return names


def of(names: dict[str, Any]) -> str:
    return code_of(names["wrapped"])["definition"]


def test_a_cell_that_is_run_again_has_the_same_code():
    assert of(cell()) == of(cell())


@pytest.mark.parametrize(
    "change",
    [
        {"decay": 0.45},
        {"table": 3},
        {"power": 3},
        {"factor": 4},
        {"width": 5},
        {"times": 3},
        {"member": "d"},
        {"argument": 2},
    ],
)
def test_every_value_that_it_refers_to_counts(change):
    assert of(cell(**change)) != of(cell())


def test_a_constant_that_another_cell_changed_counts():
    names = cell()
    before = of(names)
    names["DECAY"] = 0.1
    assert of(names) != before


def test_what_is_given_to_a_package_counts():
    def lion(rate: float) -> dict[str, str]:
        return code_of(optax.lion(rate))

    assert lion(0.1) == lion(0.1) != lion(0.2)


def test_the_next_process_finds_the_same_code_and_none_of_ours():
    program = (
        "import sys; from velodrome.foundation.definitions import code_of\n"
        f"exec({CELL.format(**FIRST)!r})\nprint(code_of(wrapped)['definition'])\n"
        "from velodrome.taskgen.family import Family, default_view\n"
        "assert code_of(Family, default_view, len, 3) == {}"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
