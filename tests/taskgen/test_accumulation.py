"""A batch in parts: the numbers of the whole batch, in less memory."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import velodrome
from velodrome.foundation.errors import SpecError
from velodrome.taskgen.accumulation import in_parts
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.network import batch_shapes
from velodrome.taskgen.nn import losses, objectives
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.views import AudioView, GraphView, PairView, TextView

MLP = TaskSpec("mlp", {"hidden_size": 64, "image_size": 8}, DataSpec("digits"), 32)


def in_four(spec: TaskSpec) -> TaskSpec:
    return dataclasses.replace(spec, grad_accumulation=4)


def ragged(rows: int, length: int) -> np.ndarray:
    """Return f32[rows,length], 1 in a different number of places in each row."""
    return (np.arange(length)[None] <= np.arange(rows)[:, None] % length).astype(np.float32)


#: Losses over what counts, in batches of 8 whose rows count differently: the objective, what it
#: takes, the shape of the network's outputs, and the other fields of the batch.
COUNTED = {
    "text": (
        losses.language_model,
        TextView(6, 5),
        (8, 6, 5),
        {"obs": ragged(8, 6).astype(np.int32), "target": np.full((8, 6), 3, np.int32)},
    ),
    "pairs": (
        objectives.sequence,
        PairView(6, 6, 5),
        (8, 6, 5),
        {"target": 2 * ragged(8, 6).astype(np.int32)},
    ),
    "graphs": (
        objectives.binary_tasks,
        GraphView(4, 4, 2, 2, 6),
        (8, 6),
        {"label": ragged(8, 6), "weight": ragged(8, 6)[::-1].copy()},
    ),
    "speech": (
        lambda logits, batch, view: objectives.ctc(
            (logits, jnp.zeros(logits.shape[:2])), batch, view
        ),
        AudioView(12, 0, 4, 5),
        (8, 12, 5),
        {"label": np.full((8, 4), 3, np.int32), "label_padding": 1 - ragged(8, 4)},
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.long] * (n == "speech")) for n in COUNTED]
)
def test_a_mean_over_what_counts_is_that_of_the_whole_batch(name, key):
    objective, view, shape, fields = COUNTED[name]
    batch = {"inputs": jax.random.normal(key, shape), **jax.tree.map(jnp.asarray, fields)}
    params = jnp.linspace(0.5, 1.5, shape[-1])

    def measure(params, state, key, batch, train, dynamic):
        scale = jnp.expand_dims(params, range(len(shape) - 1))
        return objective(batch["inputs"] * scale, batch, view), state

    found = []
    for size in (8, 4, 2):
        loss, metrics = in_parts(measure, size)
        step = jax.jit(jax.value_and_grad(lambda p, b, f=loss: f(p, {}, key, b, train=True)[0]))
        totals = metrics(params, {}, key, batch, train=True)
        found.append((step(params, batch), totals, loss(params, {}, key, batch, train=True)[0]))
    for other in found[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found[0], other)
    # A mean of the means of parts would be another number.
    halves = [jax.tree.map(lambda leaf, i=i: leaf[i::2], batch) for i in (0, 1)]
    means = [np.divide(*measure(params, {}, key, half, True, None)[0]["loss"]) for half in halves]
    assert np.mean(means) != pytest.approx(float(found[0][2]), rel=1e-4)


def test_the_curve_is_that_of_the_whole_batch():
    whole, parts = (
        velodrome.train(spec, "adam", steps=20, learning_rate=1e-3) for spec in (MLP, in_four(MLP))
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_a_step_in_parts_needs_less_memory(key):
    spec = dataclasses.replace(MLP, config={"hidden_size": 256, "image_size": 8}, batch_size=1024)
    compiled, predicted = [], []
    for each in (spec, in_four(spec)):
        task = velodrome.build(each)
        batch = batch_shapes(spec.view, 1024)
        step = jax.jit(jax.grad(task.loss, has_aux=True), static_argnames="train")
        lowered = step.lower(*task.shapes, key, batch, train=True)
        memory = lowered.compile().memory_analysis()
        assert memory is not None
        compiled.append(memory.temp_size_in_bytes)
        predicted.append(velodrome.cost(each))
    assert compiled[1] < 0.6 * compiled[0]
    assert predicted[1].activation_bytes < 0.4 * predicted[0].activation_bytes
    assert predicted[1].memory_bytes < predicted[0].memory_bytes
    assert predicted[1].flops == predicted[0].flops + 4 * predicted[0].params


def test_statistics_are_those_of_a_part_and_their_averages_of_all(key):
    """So the loss differs, but the mean over all examples is the same."""
    spec = TaskSpec(
        "mlp", {"hidden_size": 8, "image_size": 5, "normalization": "batch_norm"}, MLP.data, 16
    )
    batch = velodrome.open_source(spec, "train").batch(0, 0, 16)
    found = []
    for each in (spec, in_four(spec)):
        task = velodrome.build(each)
        params, state = task.init(key)
        found.append(task.loss(params, state, key, batch, train=True))
    (whole, after), (parts, other) = found
    assert parts != pytest.approx(float(whole), rel=1e-4)
    name = next(iter(after))
    np.testing.assert_allclose(other[name]["mean"], after[name]["mean"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(other[name]["weight"], after[name]["weight"], rtol=1e-6)
    assert (other[name]["variance"] < after[name]["variance"]).all()


def test_parts_are_a_part_of_the_task(key):
    spec = in_four(MLP)
    assert TaskSpec.from_json(spec.to_json()) == spec
    assert spec.hash != MLP.hash
    assert spec.label.endswith("-4-parts")
    with pytest.raises(SpecError, match="a divisor of the batch size, 32"):
        dataclasses.replace(MLP, grad_accumulation=5)
    with pytest.raises(SpecError, match="makes its own functions"):
        TaskSpec("es_wrapped", {}, DataSpec("digits"), 8, grad_accumulation=2)
    task = velodrome.build(spec)
    params, state = task.init(key)
    batch = velodrome.open_source(spec, "train").batch(0, 0, 12)
    with pytest.raises(SpecError, match="parts of 8 examples do not divide a batch of 12"):
        task.loss(params, state, key, batch, train=True)
