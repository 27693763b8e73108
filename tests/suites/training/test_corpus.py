"""Corpus metrics along runs, in lanes together and alone, against what is computed otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from flax import nnx

import velodrome
from velodrome.contracts.task import quick
from velodrome.foundation.errors import SpecError
from velodrome.optimizers.registry import optimizers
from velodrome.results.store.store import Store
from velodrome.suites.planning import batching
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite
from velodrome.suites.training import programs
from velodrome.suites.training.compiled_task import CompiledTask
from velodrome.suites.training.corpus import measure
from velodrome.suites.training.lane_batch import LaneBatch
from velodrome.suites.training.lanes import LaneLoop
from velodrome.suites.training.rng import EVAL_SEED
from velodrome.taskgen.build import open_source
from velodrome.taskgen.data.builtin import bible
from velodrome.taskgen.data.order import epoch_order
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.families.networks.gnn import GraphNetwork
from velodrome.taskgen.family import Family
from velodrome.taskgen.functions import Corpus
from velodrome.taskgen.numerics import numerics
from velodrome.taskgen.ranking import mean_average_precision
from velodrome.taskgen.registry import families
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.translation import bleu, translate
from velodrome.taskgen.views import GraphView

PIXELS = 20


def pixels(score: Any = None) -> Family:
    """A bowl with corpus metrics: the parameter, and the sum of the first pixel of each image."""

    def collect(params: Any, state: Any, key: Any, batch: Any, *, dynamic: Any = None) -> Any:
        first = batch["image"][:, 3, 3, 0]
        return {"pixel": first, "x": jnp.broadcast_to(params["x"][0], first.shape)}

    def total(collected: Mapping[str, np.ndarray], dataset: Any) -> dict[str, float]:
        assert dataset.name == "digits" and len(collected["pixel"]) == PIXELS
        if not np.isfinite(collected["x"]).all():
            raise ValueError("a lane that has diverged must not be scored")
        return {"total": float(collected["pixel"].sum()), "level": float(collected["x"].mean())}

    def build(*arguments: Any) -> Any:
        corpus = Corpus(("total", "level"), collect, score or total)
        return dataclasses.replace(toys._build(*arguments), corpus=corpus)

    return dataclasses.replace(toys.BOWL, name="pixels", build=build)


def run_pixels(out: Path, *names: str, family: Family | None = None, **protocol: Any) -> Store:
    optimizers = {"exploding": toys.exploding(), "counting": toys.counting()}
    with toys.registered(**optimizers), families.temporarily("pixels", family or pixels()):
        spec = TaskSpec(family="pixels", config={}, data=DataSpec("digits"), batch_size=8)
        suite = dataclasses.replace(toys.bowl_suite(*names, **protocol), tasks=(spec,))
        run(suite, out, workers=0, timing=False, progress="silent")
    return Store.open(out)


@pytest.mark.parametrize("least_steps", [0, 10**9], ids=["together", "alone"])
def test_runs_are_scored_one_by_one_and_those_that_diverge_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least_steps: int
):
    monkeypatch.setattr(batching, "CPU_VMAP_STEPS", least_steps)
    # A batch of 8 is looked at together: 20 examples are two batches and a half.
    store = run_pixels(tmp_path, "exploding", corpus_examples=PIXELS, eval_batch_count=1)
    assert {shard.metadata["mode"] for shard in store.shards()} == {
        "sequential" if least_steps else "vmap"
    }
    (cell,) = store.cells()
    totals, levels = (cell.curves(split="heldout", metric=name) for name in ("total", "level"))
    source = open_source(TaskSpec("mlp", {"image_size": 8}, DataSpec("digits"), 8), "heldout")
    rows = source.indices(EVAL_SEED, 0, 1, PIXELS)[0]
    wanted = np.asarray(source.arrays["image"])[rows][:, 3, 3, 0].astype(np.float32).sum() / 255
    assert totals.steps.tolist() == [0, 10, 20] and len(totals.lanes) == 8
    for lane, total, level in zip(totals.lanes, totals.values, levels.values, strict=True):
        alive = totals.steps < (lane.diverged_at or 100)
        np.testing.assert_allclose(total[alive], wanted, rtol=1e-5)
        np.testing.assert_array_equal(level[alive], totals.steps[alive])
        assert np.isnan(total[~alive]).all()


def test_other_curves_and_older_protocols_stay_what_they_are(tmp_path: Path):
    with_them = run_pixels(tmp_path / "one", "counting", seeds=1, corpus_examples=PIXELS)
    without = run_pixels(tmp_path / "other", "counting", seeds=1)
    (one,), (other,) = (toys.contents(store.directory).values() for store in (with_them, without))
    assert {row[3] for row in one} - {row[3] for row in other} == {"total", "level"}
    assert [row for row in one if row[3] in ("loss", "first")] == list(other)
    assert "corpus_examples" not in Protocol(steps=10).to_json()
    asked = Protocol(steps=10, corpus_examples=20)
    assert Protocol.from_json(asked.to_json()) == asked
    # They are another measurement: no run without them serves where they are asked for.
    assert {cell.id for cell in with_them.cells()}.isdisjoint(cell.id for cell in without.cells())
    with pytest.raises(SpecError, match="corpus_examples"):
        Protocol(steps=10, corpus_examples=-1)


def test_scores_of_other_names_are_an_error(tmp_path: Path):
    wrong = pixels(lambda *_: {"total": 1.0})
    store = run_pixels(tmp_path, "counting", family=wrong, seeds=1, corpus_examples=PIXELS)
    (failure,) = store.failures.values()
    assert "['total'], not the names that the family declares: ['level', 'total']" in str(failure)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile with little care: these tests compile much and compute little."""
    monkeypatch.setattr(programs, "TimedJit", partial(programs.TimedJit, quick=True))


@dataclass(frozen=True)
class Runs:
    """The runs of two seeds at some step, with the corpus metrics that were measured there.

    Attributes:
      batch: All examples that these are of.
    """

    spec: TaskSpec
    params: list[Any]
    state: list[Any]
    values: dict[str, list[float]]
    batch: dict[str, Any]

    @classmethod
    def of(cls, spec: TaskSpec, lanes: LaneBatch, values: Mapping[str, Any]) -> Runs:
        assert lanes.state is not None
        source = open_source(spec, "heldout")
        rows = epoch_order(source.size, EVAL_SEED, 0)[:EXAMPLES]
        batch = dict(source.gather(*source.block(rows), None, augment=False))
        each = [jax.tree.map(itemgetter((at, 0)), lanes.state) for at in range(2)]
        found = {name: np.asarray(array).reshape(-1).tolist() for name, array in values.items()}
        return cls(
            spec, [run.params for run in each], [run.model_state for run in each], found, batch
        )


EXAMPLES = 6
PROTOCOL = Protocol(
    steps=2, seeds=2, eval_every=2, heldout_every=2, eval_batch_count=1, corpus_examples=EXAMPLES
)


def lanes_of(spec: TaskSpec) -> tuple[CompiledTask, LaneBatch]:
    task = CompiledTask(Suite("one", (spec,), PROTOCOL, ("sgd",)), 0)
    rate = {"learning_rate": 0.01}
    return task, task.lane_batch(optimizers.get("sgd"), 2, [0, 1], [rate], [0, 1], vmap=True)


def started(spec: TaskSpec) -> Runs:
    """Measure runs before their first update: training takes long to compile."""
    with numerics():
        task, lanes = lanes_of(spec)
        lanes.start(*lanes.initialize())
        corpus, losses = task.task.corpus, [np.zeros(2)]
        assert corpus is not None
        (values,) = measure(corpus, task.data, [lanes], losses, together=4)
    return Runs.of(spec, lanes, values)


def trained(spec: TaskSpec) -> Runs:
    with numerics():
        task, lanes = lanes_of(spec)
        loop = LaneLoop(task.data, [lanes], horizon=2)
        loop.run(lambda _: True)
    found = loop.buffer.columns({})
    last = (found["step"] == 2) & (found["split"] == "heldout")
    names = np.unique(found["metric"])
    return Runs.of(
        spec, lanes, {name: found["value"][last & (found["metric"] == name)] for name in names}
    )


SMALL = {"latent_size": 3, "hidden_size": 3, "rounds": 1}
GRAPHS = TaskSpec("gnn", SMALL, DataSpec("networkx_atlas"), 4)


PACKED = {"packed_graphs": 4, "packed_nodes": 7, "packed_edges": 24}


def check_graphs(runs: Runs) -> None:
    view, batch = GRAPHS.view, runs.batch
    assert isinstance(view, GraphView)
    network = GraphNetwork(GRAPHS.config, view, rngs=nnx.Rngs(0), dynamic={})
    graph, _ = nnx.split(network, nnx.Param)
    assert len(runs.values["mean_average_precision"]) == 2
    for params, found in zip(runs.params, runs.values["mean_average_precision"], strict=True):
        network = nnx.merge(graph, params)
        logits = quick(partial(network, train=False))(batch, key=jax.random.key(0)).logits
        arrays = (logits, batch["label"], batch["weight"])
        wanted = mean_average_precision(*map(np.asarray, arrays))
        assert found == pytest.approx(wanted, rel=1e-5) and 0 < wanted < 1


def test_mean_average_precision_is_that_of_all_graphs():
    # In packs, which have places without a graph, and are compared with padded graphs.
    packed = TaskSpec("gnn", {**SMALL, **PACKED}, DataSpec("networkx_atlas"), 4)
    check_graphs(started(packed))


@pytest.mark.long
def test_mean_average_precision_is_in_curves():
    check_graphs(trained(GRAPHS))


@pytest.mark.long
def test_word_errors_are_those_of_all_recordings():
    config = {"recurrent_blocks": 1, "feed_forward_blocks": 1, "units": 2}
    config |= {"audio_length": 8_000, "label_length": 7}
    runs = started(TaskSpec("deepspeech", config, DataSpec("synthetic_tones"), 4))
    task = velodrome.build(runs.spec)
    for at, (params, state) in enumerate(zip(runs.params, runs.state, strict=True)):
        # The device's count is another one, of hashes of tokens.
        metrics = quick(task.metrics)(params, state, jax.random.key(0), runs.batch)
        errors, words = metrics["word_error_rate"]
        assert runs.values["word_error_rate"][at] == pytest.approx(float(errors / words))
        added = float(errors / (words + 2 * EXAMPLES))
        assert runs.values["algoperf_word_error_rate"][at] == pytest.approx(added)


@pytest.mark.long
def test_bleu_is_that_of_all_translations():
    pytest.importorskip("sacrebleu")  # of the extra `mlcommons`
    config = {"num_layers": 1, "num_heads": 1, "head_dim": 4, "mlp_dim": 4}
    config |= {"source_length": 32, "target_length": 32}
    runs = started(TaskSpec("wmt_transformer", config, DataSpec("bible_translation"), 4))
    references = [bible.decode_verse(row) for row in runs.batch["target"].tolist()]
    for params, found in zip(runs.params, runs.values["bleu"], strict=True):
        tokens = translate(runs.spec, params, runs.batch["source"])
        texts = [bible.decode_verse(row) for row in tokens.tolist()]
        assert found == pytest.approx(bleu(texts, references), rel=1e-5)
