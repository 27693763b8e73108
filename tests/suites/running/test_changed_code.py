"""Results of code, weights or data that have changed since are refused, or run again on demand."""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import optax
import pytest
import toys

from velodrome.foundation.errors import PlanError, StoreError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec
from velodrome.optimizers.velo.weights.store import save_weights
from velodrome.optimizers.velo.weights.tree import init_weights
from velodrome.results.store.store import Store
from velodrome.suites.catalog import load_suite
from velodrome.suites.planning.plan import LoadedSuite, make_plan
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.running.store_setup import open_store
from velodrome.suites.suite import Suite
from velodrome.suites.training.shard import ShardRunner
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.registry import families
from velodrome.taskgen.spec import TaskSpec

OPTIMIZER = "import optax\n\n\ndef mine():\n    return optax.sgd({rate})\n"
MESSAGE = (
    r"has results of what has changed since: {what} \({shards}\). Old and new results never mix. "
    r"To run these again, give the same command with --rerun-changed \(in Python, "
    r"rerun_changed=True\): the old results stay in the store"
)


@pytest.fixture(autouse=True)
def _same_modules(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def go(suite: Suite | str, out: Path, **options: Any):
    display = toys.Recorder()
    settings = {"workers": 0, "timing": False, "progress": display, **options}
    return run(suite, out, **settings), display


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    importlib.invalidate_caches()
    return path


def mlp() -> TaskSpec:
    return TaskSpec("mlp", {}, DataSpec("digits"), 8)


# How an optimizer may be given: each makes its code with a rate, and returns its name.


def by_path(folder: Path, rate: float) -> str:
    return f"{write(folder / 'mine.py', OPTIMIZER.format(rate=rate))}:mine"


def with_a_neighbour(folder: Path, rate: float) -> str:
    write(folder / "its_rates.py", f"rate = {rate}\n")
    text = "import its_rates\n" + OPTIMIZER.format(rate="its_rates.rate")
    return f"{write(folder / 'mine.py', text)}:mine"


def by_module(folder: Path, rate: float) -> str:
    sys.path.append(str(folder))
    write(folder / "its_module.py", OPTIMIZER.format(rate=rate))
    importlib.reload(importlib.import_module("its_module"))
    return "its_module:mine"


def by_entry_point(folder: Path, rate: float) -> str:
    by_module(folder, rate)
    return "plugged"


def in_a_notebook(folder: Path, rate: float) -> str:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(f"import optax\nrate = {rate}\n" + OPTIMIZER.format(rate="rate"), names)
    optimizers.register("in-a-cell", OptimizerSpec("in-a-cell", "Mine", names["mine"]))
    return "in-a-cell"


WAYS = {
    by_path: "the code of the optimizer mine .*: mine.py",
    with_a_neighbour: "the code of the optimizer mine .*: its_rates",
    by_module: "the code of the optimizer mine .*: its_module",
    by_entry_point: "the code of the optimizer .*plugged.*: its_module",
    in_a_notebook: "the code of the optimizer Mine .*: definition",
}


@pytest.mark.parametrize("given", WAYS, ids=lambda given: given.__name__)
def test_results_of_an_optimizer_that_was_edited_are_refused(tmp_path, monkeypatch, given):
    point = importlib.metadata.EntryPoint("plugged", "its_module:mine", "velodrome.optimizers")
    found = importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda group: [point] if group == point.group else found(group=group),
    )
    monkeypatch.setattr(optimizers, "_plugins", {})
    out = tmp_path / "out"
    with toys.registered(counting=toys.counting()):
        suite = toys.bowl_suite("counting", given(tmp_path, 0.1), steps=10)
        go(suite, out)
        before = toys.contents(out)
        given(tmp_path, 0.1)  # read, or run, once more: the same code
        assert go(suite, out)[0].already == len(before) == 4
        given(tmp_path, 0.25)
        for options in ({}, {"dry_run": True}):
            with pytest.raises(StoreError, match=MESSAGE.format(what=WAYS[given], shards="2 sh.*")):
                go(suite, out, **options)
        assert toys.contents(out) == before
        result, display = go(suite, out, rerun_changed=True)
    assert (result.already, result.done) == (2, 2)
    assert any("1 cell planned again: the code of the opt" in line for line in display.told)
    after = toys.contents(out)
    assert len(after) == 6 and before.items() <= after.items()
    assert Store.open(out).problems == ()
    assert [
        cell.curves(split="train", metric="loss").values.shape[0]
        for cell in Store.open(out).cells()
    ] == [2, 2]


FAMILY = """
from dataclasses import dataclass
from flax import nnx
import velodrome

@dataclass(frozen=True)
class Config:
    width: int = velodrome.static(velodrome.log_int(4, 64), default={width})

class Net(nnx.Module):
    def __init__(self, config, view, *, rngs, dynamic):
        self.hidden = nnx.Linear(view.pixels, config.width, rngs=rngs)
        self.output = nnx.Linear(config.width, view.num_classes, rngs=rngs)

    def __call__(self, image):
        return self.output(nnx.{activation}(self.hidden(image.reshape(len(image), -1))))

made = velodrome.Family("edited", Config, Net)
"""


def family_by_path(folder: Path, **code: Any) -> str:
    return f"{write(folder / 'family.py', FAMILY.format(**code))}:made"


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch):
    """What a test registers is forgotten."""
    for part in ("_values", "_lazy"):
        monkeypatch.setattr(families, part, dict(getattr(families, part)))


def family_in_a_notebook(folder: Path, **code: Any) -> str:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(FAMILY.format(**code), names)
    families.register("edited", names["made"])
    return "edited"


@pytest.mark.usefixtures("_own_registry")
@pytest.mark.parametrize("given", [family_by_path, family_in_a_notebook])
def test_a_task_whose_family_was_edited_is_another_task(tmp_path, given):
    name = given(tmp_path, activation="relu", width=8)
    task = TaskSpec(name, {}, DataSpec("digits"), 8)
    suite = Suite("one", (task,), Protocol(steps=10), ("sgd",))
    known = {task.hash: make_plan(suite).cells[0].id}
    for code in ({"activation": "tanh", "width": 8}, {"activation": "relu", "width": 9}):
        given(tmp_path, **code)
        assert task.hash not in known
        known[task.hash] = make_plan(suite).cells[0].id
    assert len(set(known.values())) == 3
    given(tmp_path, activation="relu", width=8)
    assert make_plan(suite).cells[0].id == known[task.hash]
    assert task.label.startswith(("edited-", "family.py:made-"))


def test_results_of_a_family_that_was_edited_are_refused(tmp_path):
    name = family_by_path(tmp_path, activation="relu", width=8)
    suite = Suite(
        "one",
        (TaskSpec(name, {}, DataSpec("digits"), 8),),
        Protocol(steps=10, seeds=1, baseline_multiple=1, learning_rates=(0.1,)),
        ("sgd",),
    )
    out = tmp_path / "out"
    go(suite, out)
    family_by_path(tmp_path, activation="tanh", width=8)
    what = "the code of the family .*family.py:made"
    with pytest.raises(StoreError, match=MESSAGE.format(what=what, shards="1 shard")):
        go(suite, out)
    before = toys.contents(out)
    assert go(suite, out, rerun_changed=True)[0].done == 1
    changed = toys.contents(out)
    (new,) = changed.keys() - before.keys()
    assert changed[new] not in before.values()
    # Once the edit is undone, the old results answer again.
    family_by_path(tmp_path, activation="relu", width=8)
    result, _ = go(suite, out, rerun_changed=True)
    assert (result.done, result.already) == (0, 1)
    assert [shard.id for cell in Store.open(out).cells() for shard in cell.shards] == [*before]
    family_by_path(tmp_path, activation="tanh", width=8)
    assert go(suite, out, rerun_changed=True)[0].already == 1
    assert [shard.id for cell in Store.open(out).cells() for shard in cell.shards] == [new]
    assert toys.contents(out) == changed


DATA = """
import numpy as np
import velodrome

def load(split):
    label = np.arange(64, dtype=np.int32) % 4
    image = np.repeat(label.astype(np.uint8), 64).reshape(64, 8, 8, 1)
    return {{"image": image, "label": label}}

hashes = {{split: velodrome.hash_arrays(load(split)) for split in ("train", "heldout")}}
hashes["heldout"] = {wrong!r} or hashes["heldout"]
made = velodrome.Dataset(
    velodrome.DatasetInfo(
        name="squares", kind="image", shape=(8, 8, 1), num_classes={classes}, licence="none",
        provenance="stand-in", origin="made", split_sizes={{"train": 64, "heldout": 64}},
        split_hashes=hashes,
    ),
    load,
)
"""


def data_by_path(folder: Path, *, wrong: str = "", classes: int = 4) -> str:
    return f"{write(folder / 'data.py', DATA.format(wrong=wrong, classes=classes))}:made"


def test_a_corrected_data_hash_leaves_other_results_as_they_are(tmp_path, monkeypatch):
    out, name = tmp_path / "out", data_by_path(tmp_path, wrong="0" * 64)
    with toys.registered(counting=toys.counting()):
        tasks = (
            toys.bowl_spec(),
            TaskSpec("bowl", {}, DataSpec(name), 8),
        )
        protocol = Protocol(steps=10, seeds=2, baseline="counting", baseline_multiple=1)
        suite = Suite("two", tasks, protocol, ("counting",))
        with monkeypatch.context() as patch:  # as data that become wrong while they are used
            patch.setattr("velodrome.suites.running.run.check_data", lambda suite: None)
            result, _ = go(suite, out)
        assert (result.done, len(result.failed or {})) == (2, 2)
        good = toys.contents(out)
        data_by_path(tmp_path)
        result, display = go(suite, out)
        assert (result.already, result.done, result.failed) == (2, 2, {})
        assert any("1 cell planned again: the data set squares" in line for line in display.told)
        assert good.items() <= toys.contents(out).items()
        assert Store.open(out).failures == {} and Store.open(out).problems == ()
        data_by_path(tmp_path, classes=5)  # the same arrays, but tasks of other shapes
        with pytest.raises(StoreError, match=r"facts of the data \(2 shards\)"):
            go(suite, out)


def test_a_suite_that_was_edited_is_read_again(tmp_path):
    text = (
        "import velodrome\n"
        "task = velodrome.TaskSpec('mlp', {{}}, velodrome.DataSpec('digits'), 8)\n"
        "made = velodrome.Suite('mine', (task,), velodrome.Protocol(steps={steps}), ('sgd',))\n"
    )
    path = write(tmp_path / "suite.py", text.format(steps=10))
    assert load_suite(f"{path}:made").protocol.steps == 10
    write(path, text.format(steps=20))
    assert load_suite(f"{path}:made").protocol.steps == 20


def test_a_file_that_is_edited_during_a_run_changes_nothing_in_it(tmp_path, monkeypatch):
    original = ShardRunner.run_shard

    def then_edit(self: ShardRunner, *arguments: Any) -> Path:
        written = original(self, *arguments)
        by_path(tmp_path, 0.25)
        return written

    with toys.registered():
        suite = toys.bowl_suite(by_path(tmp_path, 0.1), steps=10)
        go(suite, tmp_path / "undisturbed")
        monkeypatch.setattr(ShardRunner, "run_shard", then_edit)
        assert go(suite, tmp_path / "edited")[0].done == 2
        monkeypatch.undo()
        assert toys.contents(tmp_path / "edited") == toys.contents(tmp_path / "undisturbed")
        store = Store.open(tmp_path / "edited")
        late = ShardRunner(store, checkpoint_seconds=60.0)  # as a worker that starts now
        with pytest.raises(PlanError, match="mine on .* is not what this run was planned with"):
            late.check()


def test_a_family_that_is_edited_during_a_run_is_refused_from_then_on(tmp_path, monkeypatch):
    name = family_by_path(tmp_path, activation="relu", width=8)
    suite = Suite("one", (TaskSpec(name, {}, DataSpec("digits"), 8),), Protocol(steps=10), ("sgd",))
    loaded = LoadedSuite.of(suite)
    plan = make_plan(loaded)
    store, _ = open_store(loaded, tmp_path / "out", plan)
    runner = ShardRunner(store, loaded, checkpoint_seconds=60.0)
    runner.check()
    family_by_path(tmp_path, activation="tanh", width=8)
    with pytest.raises(PlanError, match="Finished work is kept; run the same command again"):
        runner.check()


@pytest.mark.slow
def test_a_run_goes_on_from_another_directory_in_workers_beside_any_files(tmp_path, monkeypatch):
    """One folder has a colon in its name, and modules named like those of the language."""
    home = tmp_path / "C:" / "mine"
    with_a_neighbour(home, 0.1)
    data_by_path(home)
    family_by_path(home, activation="relu", width=8)
    for name in ("random", "queue", "types", "json", "velodrome"):
        write(home / f"{name}.py", "raise RuntimeError('not the one that was meant')\n")

    def suite(folder: str) -> Suite:
        task = TaskSpec(f"{folder}family.py:made", {}, DataSpec(f"{folder}data.py:made"), 8)
        protocol = Protocol(steps=10, seeds=2, baseline="sgd", baseline_multiple=1)
        return Suite("one", (task,), protocol, (f"{folder}mine.py:mine",))

    monkeypatch.chdir(home)
    go(suite(""), tmp_path / "out")
    before = toys.contents(tmp_path / "out")
    for path in (tmp_path / "out" / "shards").iterdir():
        path.unlink()
    monkeypatch.chdir(tmp_path)
    moved = suite("C:/mine/")
    assert make_plan(moved).cells[0].id == Store.open(tmp_path / "out").plan.cells[0].id
    monkeypatch.chdir(home)
    result, display = go(suite("../mine/"), tmp_path / "out", workers=1)
    assert (result.done, display.failures) == (2, [])
    assert toys.contents(tmp_path / "out") == before


def test_weights_that_are_replaced_during_a_run_change_nothing_in_it(tmp_path, key):
    path = save_weights(tmp_path / "C:" / "mine.safetensors", init_weights(key, 8, 4))
    suite = Suite("one", (mlp(),), Protocol(steps=10), ("sgd", f"velo:{path}"))
    loaded = LoadedSuite.of(suite)
    plan = make_plan(loaded)
    store, _ = open_store(loaded, tmp_path / "out", plan)
    save_weights(path, init_weights(jax.random.fold_in(key, 1), 8, 4))
    ShardRunner(store, loaded, checkpoint_seconds=60.0).check()
    with pytest.raises(PlanError, match="VeLO .mine.safetensors. on .* is not what this run was"):
        ShardRunner(store, checkpoint_seconds=60.0).check()


def test_a_copy_of_a_file_is_the_same_optimizer(tmp_path):
    (tmp_path / "copy").mkdir()
    name = by_path(tmp_path, 0.1)
    shutil.copy(tmp_path / "mine.py", tmp_path / "copy")
    other = f"{tmp_path}/copy/mine.py:mine"
    assert optimizers.get(name).identity == optimizers.get(other).identity
    assert optimizers.portable(f"horizon:0.5:{other}") == "horizon:0.5:mine.py:mine"
    assert optimizers.portable("velo:C:/runs/weights.safetensors") == "velo:weights.safetensors"
    assert optimizers.portable("velo:velo-tiny") == "velo:velo-tiny"


def test_a_spec_of_a_package_that_a_notebook_registers_is_known_by_what_it_is_given():
    def identity(rate: float) -> object:
        spec = OptimizerSpec("given", "Given", lambda: optax.sgd(rate))
        with optimizers.temporarily("given", spec):
            return optimizers.get("given").identity

    assert identity(0.1) == identity(0.1) != identity(0.2)


def test_what_is_ours_has_no_code_in_its_identity():
    assert all("code" not in optimizers.get(name).identity for name in ("adam", "velo"))
    assert mlp().hash == mlp().spec_hash
