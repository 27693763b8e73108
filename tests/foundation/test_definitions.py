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


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("math.sin", "math.cos"),
        ("math.sin", "cmath.sin"),
        ("'a'.join", "'b'.join"),
        ("'a'.join", "'a'.split"),
        ("str.upper", "str.lower"),
        ("operator.itemgetter(1)", "operator.itemgetter(2)"),
        ("np.sin", "np.cos"),
        ("np.dtype('f4')", "np.dtype('f8')"),
        ("collections.deque([1])", "collections.deque([2])"),
    ],
)
def test_objects_made_in_c_count(one, another):
    def code(value: str) -> dict[str, str]:
        names: dict[str, Any] = {"__name__": "__main__"}
        imports = "import cmath, collections, math, operator\nimport numpy as np\n"
        exec(f"{imports}value = {value}\ndef made():\n    return value", names)
        return code_of(names["made"])

    assert code(one) == code(one) != code(another)


INSTANCES = """
import functools
from dataclasses import dataclass
from typing import NamedTuple

class Recipe:
    decay = {decay}
    itself = None

    def __call__(self):
        return self.power() * {times}

    @functools.cache
    def __neg__(self):
        return {cached}

    def power(self):
        return self.decay ** {power}

recipe = Recipe.itself = Recipe()
recipe.me = recipe
bound = recipe.__call__

def reads():
    return recipe.decay

class Pair(NamedTuple):
    first: int
    def both(self):
        return self.first * {times} ** {power} + {decay} + {cached}

class Table(dict):
    def both(self):
        return self["first"] * {times} ** {power} + {decay} + {cached}

pair, table = Pair(1), Table(first=1)
"""


@pytest.mark.parametrize("name", ["recipe", "bound", "reads", "pair", "table"])
def test_the_class_of_an_instance_counts(name):
    def made(**changes: float) -> dict[str, str]:
        names: dict[str, Any] = {"__name__": "__main__"}
        values = {"decay": 0.9, "times": 2, "power": 3, "cached": 4} | changes
        exec(INSTANCES.format(**values), names)
        return code_of(names[name])

    changes = [{"decay": 0.45}, {"times": 3}, {"power": 4}, {"cached": 5}]
    found = [made(**change)["definition"] for change in [{}, *changes]]
    assert made()["definition"] == found[0] and len(set(found)) == 5


@pytest.mark.parametrize("head", ["@dataclass(slots=True)\nclass Rates(Base):", "class Rates:"])
def test_values_in_slots_count(head):
    text = (
        "from dataclasses import dataclass\nclass Base:\n    __slots__ = ('late',)\n"
        f"{head}\n    rate: float\n"
    )
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(text, names)

    def of_rate(rate: float) -> dict[str, str]:
        made = names["Rates"].__new__(names["Rates"])
        made.rate = rate
        return code_of(made)

    assert of_rate(0.1) == of_rate(0.1) != of_rate(0.2)


def test_a_global_that_only_shares_its_name_with_an_attribute_does_not_count():
    def made(shape: int) -> dict[str, str]:
        names: dict[str, Any] = {"__name__": "__main__", "shape": shape}
        exec("def made(x):\n    return x.shape", names)
        return code_of(names["made"])

    assert made(1) == made(2)


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
