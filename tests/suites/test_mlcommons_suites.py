"""The small suite of MLCommons workloads, and the table of what the large ones would take."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from scripts import mlcommons_table
from velodrome.foundation.errors import PlanError
from velodrome.suites.catalog import load_suite
from velodrome.suites.planning.plan import make_plan
from velodrome.suites.planning.preflight import check_suite, with_data
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite
from velodrome.taskgen.data.info import kind_of
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.description import cost
from velodrome.taskgen.families import gnn
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.views import GraphView

ROOT = Path(__file__).parents[2]


def test_the_small_suite_has_all_six_families_on_data_that_are_always_there():
    suite = load_suite("mlcommons-mini")
    assert [task.family for task in suite.tasks] == [name for name, *_ in mlcommons_table.WORKLOADS]
    for task in suite.tasks:
        assert task.info.provenance in ("built-in", "stand-in")
        assert 5_000 < cost(task).params < 100_000
        assert cost(task).flops < 100e6


def test_the_documented_table_is_made_again():
    assert mlcommons_table.table() in (ROOT / mlcommons_table.DOCUMENT).read_text()
    # The facts of the workloads: TFLOP of a training step, of the compiled reference.
    known = {"vit_s16": 28.4, "resnet50": 24.2, "wmt_transformer": 28.2, "deepspeech": 48.4}
    known |= {"conformer": 60.8, "gnn": 0.331}
    for line in mlcommons_table.table().splitlines()[2:]:
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        assert abs(float(cells[3]) / known[cells[0]] - 1) < 0.06


def test_the_large_suites_are_the_workloads():
    six, eight = load_suite("mlcommons-6"), load_suite("mlcommons-8")
    assert eight.tasks[:6] == six.tasks and eight.protocol == six.protocol
    found = {
        task.family: (task.view, task.batch_size) for task in six.tasks if task.family != "gnn"
    }
    known = {name: (view, batch) for name, view, batch, _ in mlcommons_table.WORKLOADS}
    assert found == {name: known[name] for name in found} and len(found) == 5
    parameters = [cost(task).params for task in eight.tasks]
    assert parameters == [
        *(22_122_472, 25_557_032, 133_521_408, 18_381_312),
        *(32_321_792, 3_554_176, 539_267_457, 7_756_097),
    ]
    assert set(six.optimizers) == {"cosine:adam", "velo", "algoperf-nadamw"}
    # Packed molecules cost what those of average size do.
    packed, (average, batch) = six.tasks[5], known["gnn"]
    assert isinstance(average, GraphView)
    assert cost(packed).flops == gnn.cost(packed.config, average, batch).flops
    rates = six.protocol.learning_rates
    assert rates is not None and len(rates) == 20 and (rates[0], rates[-1]) == (1e-4, 0.1)


def test_targets_are_documented_and_measured_on_the_model_as_it_is_used():
    document = (ROOT / mlcommons_table.DOCUMENT).read_text()
    suite = load_suite("mlcommons-8")
    assert suite.protocol.eval_mode == "eval"
    assert list(suite.targets) == [task.label for task in suite.tasks]
    for name, target in suite.targets.items():
        (line,) = (
            line
            for line in document.splitlines()
            if line.startswith(f"| `{name}` | ") and f" {target.value:.6g} | " in line
        )
        family = next(task for task in suite.tasks if task.label == name).family_object
        declared = family.corpus_metrics
        of_corpus = declared is not None and target.metric in declared.names
        assert of_corpus or target.metric in ("loss", "accuracy", "ssim")
        assert ("the split" in line) == of_corpus
    largest = max(task.info.split_sizes.get("heldout", 0) for task in suite.tasks[2:6])
    assert suite.protocol.corpus_examples >= largest > 40_000  # the whole split


@pytest.mark.parametrize("name", ["mlcommons-6", "mlcommons-8"])
def test_the_large_suites_plan_on_stand_ins(name: str):
    """A user without the data can try a whole workload: it has the same shapes and a batch."""
    suite = load_suite(name)
    after = with_data(suite, "stand-in")
    assert [task.label for task in after.tasks] == [task.label for task in suite.tasks]
    for task, real in zip(after.tasks, suite.tasks, strict=True):
        assert task.info.provenance == "stand-in"
        assert (task.view, task.batch_size) == (real.view, real.batch_size)
        assert real.data.name in task.data.name
        assert task.dataset.decode is not None or real.dataset.decode is None
        assert kind_of(task.info.kind).holds(task.info, task.view)
    check_suite(after)  # a batch is no larger than the data
    assert {cell.task.label for cell in make_plan(after).cells} == set(suite.targets)


def test_small_tasks_have_the_small_stand_ins():
    clicks = TaskSpec("dlrm", {"vocab_size": 256, "embed_size": 4}, DataSpec("criteo1tb"), 64)
    scans = TaskSpec("unet", {"image_size": 64}, DataSpec("fastmri"), 8)
    suite = Suite("mine", (clicks, scans), load_suite("mlcommons-8").protocol, ("adam",))
    names = [task.data.name for task in with_data(suite, "stand-in").tasks]
    assert names == ["stand-in:criteo1tb", "stand-in:fastmri"]
    many = TaskSpec("resnet50", {"image_size": 32}, DataSpec("imagenet256"), 2_048)
    suite = dataclasses.replace(suite, tasks=(many,))
    with pytest.raises(PlanError, match="stand-in:imagenet256' as it sees it has 1,024; choose a"):
        check_suite(with_data(suite, "stand-in"))


@pytest.mark.long
def test_the_shrunk_workloads_train_with_adam_and_velo(tmp_path):
    """A few steps of each: what it takes minutes to find out otherwise."""
    result = run(
        "mlcommons-mini",
        tmp_path / "store",
        optimizers=("adam", "velo:velo-tiny"),
        learning_rates=[1e-3],
        steps=10,
        seeds=1,
        corpus_examples=0,
        workers=1,
        timing=False,
        progress="silent",
    )
    assert not result.failed and not result.missing and result.done == 12
