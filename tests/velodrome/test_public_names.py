from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import velodrome


def test_import_loads_no_jax_nor_anything_else_heavy():
    code = """
import sys
import velodrome
dir(velodrome), velodrome.__all__, velodrome.__version__
heavy = {"jax", "flax", "optax", "numpy", "pandas", "pyarrow", "tyro", "rich"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_specs_families_and_costs_need_no_jax():
    code = """
import sys
import velodrome
spec = velodrome.TaskSpec("mlp", {"hidden_size": 16}, velodrome.DataSpec("digits"), 32)
assert velodrome.cost(spec).params > 0
assert velodrome.families.get("mlp").name == "mlp"
assert velodrome.datasets.get("stand-in:mnist").info.content_hash
print(sorted({"jax", "flax", "optax"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", velodrome.__all__)
def test_every_public_name_is_there(name: str):
    assert getattr(velodrome, name) is not None
    assert name in dir(velodrome)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name|no attribute"):
        _ = getattr(velodrome, "no_such_name")  # noqa: B009


def test_the_version_is_that_of_the_package():
    project = tomllib.loads((Path(velodrome.__file__).parents[1] / "pyproject.toml").read_text())
    assert velodrome.__version__ == project["project"]["version"]
