"""Evaluations over several batches of the task's own size, and steps run one in a call."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
import toys

from velodrome.foundation.errors import SpecError
from velodrome.results.store.store import Store
from velodrome.suites.planning import batching
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.run import run
from velodrome.suites.training.rng import Stream, fresh_eval_seed, key_of
from velodrome.suites.training.taskdata import TaskData
from velodrome.taskgen.build import open_source
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.registry import families
from velodrome.taskgen.spec import TaskSpec


def test_each_batch_of_an_evaluation_has_its_own_statistics_and_noise(tmp_path):
    """`moody` in training: the updates made, the variance of the batch's labels, and noise."""
    with (
        toys.registered(counting=toys.counting()),
        families.temporarily("moody", toys.moody()),
    ):
        spec = TaskSpec(family="moody", config={}, data=DataSpec("digits"), batch_size=8)
        suite = toys.bowl_suite(
            "counting", seeds=1, eval_mode="training-loss", eval_batches="fresh", eval_batch_count=3
        )
        suite = dataclasses.replace(suite, tasks=(spec,))
        run(suite, tmp_path, workers=0, timing=False, progress="silent")
        (cell,) = Store.open(tmp_path).cells()
        source = open_source(spec, "train")
    for evaluation, (step, value) in enumerate(
        zip(cell.curves().steps, cell.curves().values[0], strict=True)
    ):
        rows = source.indices(fresh_eval_seed(0), 3 * evaluation, 3, 8)
        labels = np.asarray(source.arrays["label"])[rows]
        keys = jax.random.split(key_of(0, Stream.EVAL, int(step)), 3)
        noise = np.mean([float(toys.noise(key)) for key in keys])
        np.testing.assert_allclose(value, step + np.var(labels, axis=1).mean() + noise, rtol=1e-5)


def test_evaluation_and_training_take_turns_on_one_stream():
    """In turns as published: five batches are evaluated, then ten are trained on."""
    spec = TaskSpec("mlp", {"image_size": 8}, DataSpec("digits"), batch_size=16)
    protocol = Protocol(steps=40, eval_batches="stream", eval_batch_count=5)
    data, source = TaskData(spec, protocol), open_source(spec, "train")
    seen = []
    for step in range(0, 40, 10):
        seen.append(data.eval_batch("train", 3, step // 10)["image"].reshape(5, 16, 8, 8, 1))
        seen += [data.training_block(3, step + 5 * half, 5, 40)["image"] for half in (0, 1)]
    rows = source.indices(3, 0, 60, 16)
    pixels = np.asarray(source.arrays["image"])[rows]
    assert len(np.unique(rows)) == rows.size  # less than an epoch: nothing comes twice
    for index, part in enumerate(np.split(np.arange(60), 12)):
        found = np.asarray(seen[index])
        scale = 255 if found.dtype == np.float32 else 1
        np.testing.assert_allclose(found * scale, pixels[part], atol=1e-3)
    # Held out as "fresh", and other blocks give the same batches.
    fresh = TaskData(spec, dataclasses.replace(protocol, eval_batches="fresh"))
    again = TaskData(spec, protocol).training_block(3, 17, 3, 40)["image"]
    np.testing.assert_array_equal(again, pixels[17 + 10 :][:3])
    for heldout in (0, 2):
        one, other = (x.eval_batch("heldout", 3, heldout)["image"] for x in (data, fresh))
        np.testing.assert_array_equal(one, other)


def test_examples_of_an_evaluation():
    assert Protocol(steps=10, eval_examples=640).examples(32) == 640
    paper = Protocol(steps=10, eval_batch_count=5)
    assert (paper.examples(32), paper.examples_together(32)) == (160, 32)
    assert Protocol.from_json(paper.to_json()) == paper
    # At its default it is not in the JSON, so that older protocols keep their hash.
    assert "eval_batch_count" not in Protocol(steps=10).to_json()
    with pytest.raises(SpecError, match="eval_batch_count"):
        Protocol(steps=10, eval_batch_count=-1)


def test_large_steps_are_run_one_in_a_call(tmp_path, monkeypatch):
    monkeypatch.setattr(batching, "CPU_BLOCK_FLOPS", 0)
    with toys.registered(exploding=toys.exploding()):
        suite = toys.bowl_suite("exploding")
        run(suite, tmp_path, workers=0, timing=False, progress="silent")
        (cell,) = Store.open(tmp_path).cells()
    curves = cell.curves()
    assert curves.steps.tolist() == [0, 5, 10, 15, 20]
    assert [lane.diverged_at for lane in curves.lanes] == [None, 7, 10, 12] * 2
    for lane, values in zip(curves.lanes, curves.values, strict=True):
        known = curves.steps < (lane.diverged_at or 100)
        np.testing.assert_array_equal(values[known], curves.steps[known])
