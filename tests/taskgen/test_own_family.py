"""A user's family: a config and a network, and nothing else."""

from __future__ import annotations

import math
import sys
import types
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import velodrome
from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.taskgen.family import Family
from velodrome.taskgen.registry import families
from velodrome.taskgen.space.distributions import log_float, log_int
from velodrome.taskgen.space.fields import static


@dataclass(frozen=True)
class Config:
    width: int = static(log_int(4, 64), default=8)
    temperature: float = static(log_float(0.5, 2), default=1.0)


class Network(nnx.Module):
    def __init__(self, config, view, *, rngs, dynamic):
        self.hidden = nnx.Linear(view.pixels, config.width, rngs=rngs)
        self.norm = nnx.BatchNorm(config.width, rngs=rngs)
        self.output = nnx.Linear(config.width, view.num_classes, rngs=rngs)
        self.temperature = config.temperature

    def __call__(self, image, *, train):
        x = self.hidden(image.reshape(len(image), -1))
        x = nnx.tanh(self.norm(x, use_running_average=not train))
        return self.output(x) / self.temperature


FAMILY = Family("own", Config, Network)


@pytest.fixture
def registered():
    with families.temporarily("own", FAMILY):
        yield


def test_a_config_and_a_network_are_enough(registered, key):
    first, second = velodrome.sample(2, seed=0, family="own", data="built-in", max_mflop=50)
    assert first != second
    task = velodrome.build(first)
    params, state = task.init(key)
    # The state of batch normalisation is kept apart from the parameters.
    assert set(state) == {"norm"} and set(params) == {"hidden", "norm", "output"}
    info = velodrome.datasets.get(first.data.name).info
    batch = {
        "image": jax.random.uniform(key, (first.batch_size, *info.shape)),
        "label": jnp.zeros(first.batch_size, jnp.int32),
    }
    loss, new_state = task.loss(params, state, key, batch, train=True)
    assert math.isfinite(loss)
    assert np.any(new_state["norm"]["mean"] != state["norm"]["mean"])
    assert task.loss(params, state, key, batch, train=False)[1]["norm"]["mean"] is not None


class Line(nnx.Module):
    def __init__(self, config, view, *, rngs, dynamic):
        self.output = nnx.Linear(view.columns, view.num_classes, rngs=rngs)

    def __call__(self, row):
        return self.output(row)


def hinge(logits, batch, view):
    """The largest wrong score, and one, over the right one."""
    right = jax.nn.one_hot(batch["label"], view.num_classes)
    mine = (logits * right).sum(axis=-1)
    losses = jax.nn.relu(1 + (logits - 1e9 * right).max(axis=-1) - mine)
    return {"loss": (losses.sum(), jnp.float32(len(losses)))}


def test_a_loss_of_its_own(key):
    """An objective replaces that of the kind, and so does a normaliser."""
    own = Family(
        "own", Config, Line, data_kind="table", objective=hinge, normalize=lambda loss, view: loss
    )
    with families.temporarily("own", own):
        task = velodrome.build(
            velodrome.TaskSpec("own", {}, velodrome.DataSpec("breast_cancer"), 2)
        )
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), task.shapes[0])
    batch = {"row": jnp.ones((2, 30)), "label": jnp.array([0, 1])}
    assert task.loss(zeros, {}, key, batch, train=True)[0] == 1
    biased = {"output": {**zeros["output"], "bias": jnp.array([3.0, 0.0])}}
    assert task.loss(biased, {}, key, batch, train=True)[0] == (0 + 4) / 2
    assert set(task.metrics(biased, {}, key, batch)) == {"loss"} and task.normalize(4.0) == 4


def test_its_cost_is_traced(registered):
    spec = velodrome.TaskSpec("own", {"width": 16}, velodrome.DataSpec("digits"), 32)
    cost = velodrome.cost(spec)
    products = 2 * 32 * (64 * 16 * 2 + 16 * 10 * 3)  # images need no gradient
    assert cost.params == 64 * 16 + 16 + 2 * 16 + 16 * 10 + 10
    assert products < cost.flops < 1.2 * products
    assert cost.bytes > 0 and cost.activation_bytes > 0 and cost.kernels > 0


def no_cost(config, view, batch_size):
    return velodrome.Cost(1, 1, 1, 1, 1)


def test_functions_may_be_import_strings(monkeypatch, key):
    """The module is imported when a task is built, not before."""
    module = types.ModuleType("lazily_named")
    module.__dict__.update(Network=Network, normalize=lambda loss, view: loss * 0 + 3)
    by_name = Family(
        "own", Config, "lazily_named:Network", cost=no_cost, normalize="lazily_named:normalize"
    )
    with families.temporarily("own", by_name):
        spec = velodrome.TaskSpec("own", {}, velodrome.DataSpec("digits"), 4)
        assert velodrome.cost(spec).flops == 1
        with pytest.raises(VelodromeError, match="network of the family 'own' cannot be loaded"):
            velodrome.build(spec)
        monkeypatch.setitem(sys.modules, "lazily_named", module)
        task = velodrome.build(spec)
    assert set(task.init(key)[0]) == {"hidden", "norm", "output"}
    assert task.normalize(jnp.float32(1)) == 3


def test_a_family_that_builds_itself_must_return_functions():
    family = Family("own", Config, build=lambda config, view, precision: 1, cost=no_cost)
    with families.temporarily("own", family):
        spec = velodrome.TaskSpec("own", {}, velodrome.DataSpec("digits"), 4)
        with pytest.raises(VelodromeError, match="'own' returns a int, but must.*TaskFunctions"):
            velodrome.build(spec)


def test_families_that_cannot_work_are_refused():
    with pytest.raises(SpecError, match="data_kind.*'sound'.*image, text"):
        Family("bad", Config, Network, data_kind="sound")
    with pytest.raises(SpecError, match="network"):
        Family("bad", Config)
    with pytest.raises(SpecError, match=r"family.cost: got '\(spec, info\)'.*batch_size\)"):
        Family("bad", Config, Network, cost=lambda spec, info: velodrome.Cost(1, 1, 1, 1, 1))
    with pytest.raises(SpecError, match=r"family.build.*function build\(config, view, precision\)"):
        Family("bad", Config, build=lambda spec, info: None, cost=no_cost)
    with pytest.raises(VelodromeError, match="must be a velodrome.Family"):
        families.register("bad", Network)  # type: ignore[arg-type] - wrong on purpose
