"""The short way to declare a family gives the same family as the long one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import velodrome
from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.family import Family
from velodrome.taskgen.registry import families, family
from velodrome.taskgen.space.distributions import choice, log_float, log_int
from velodrome.taskgen.space.fields import config_fields, dynamic, static
from velodrome.taskgen.spec import TaskSpec


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch):
    """What a test registers is forgotten."""
    for part in ("_values", "_lazy"):
        monkeypatch.setattr(families, part, dict(getattr(families, part)))


def flat(image: Any) -> Any:
    return image.reshape(len(image), -1)


@dataclass(frozen=True)
class LongConfig:
    width: int = static(log_int(4, 64), default=8)


class Long(nnx.Module):
    def __init__(self, config, view, *, rngs, dynamic):
        self.inner = nnx.Linear(view.pixels, config.width, rngs=rngs)
        self.output = nnx.Linear(config.width, view.num_classes, rngs=rngs)

    def __call__(self, image):
        return self.output(nnx.relu(self.inner(flat(image))))


def loss_of(spec: TaskSpec) -> tuple[Any, Any]:
    task = velodrome.build(spec)
    params, state = task.init(jax.random.key(0))
    batch = {"image": jnp.linspace(0, 1, 4 * 64).reshape(4, 8, 8, 1), "label": jnp.arange(4)}
    batch["label"] = batch["label"].astype(jnp.int32)
    return task.loss(params, state, jax.random.key(1), batch, train=True)[0], task


def test_a_function_is_the_same_family_as_the_long_form():
    @family("short", width=static(log_int(4, 64), default=8))
    def short(config, view, *, rngs, dynamic):
        inner = nnx.Linear(view.pixels, config.width, rngs=rngs)
        output = nnx.Linear(config.width, view.num_classes, rngs=rngs)
        return nnx.Sequential(flat, inner, nnx.relu, output)

    assert isinstance(short, Family)
    assert families.get("short") is short
    families.register("long", Family("long", LongConfig, Long))
    one, other = (
        loss_of(TaskSpec(name, {"width": 5}, DataSpec("digits"), 4)) for name in ("short", "long")
    )
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1].cost == other[1].cost
    widths = [
        [spec.config.width for spec in velodrome.sample(5, seed=3, family=name, data="built-in")]
        for name in ("short", "long")
    ]
    assert len(set(widths[0])) > 1
    assert config_fields(short.config) == config_fields(LongConfig)


def test_a_class_takes_what_it_names_in_its_call():
    @family(
        "scaled",
        gain=dynamic(log_float(1, 4), default=1),
        kind=static(choice(["a", "b"]), default="a"),
    )
    class Scaled(nnx.Module):
        def __init__(self, config, view, *, rngs, dynamic):
            assert config.kind == "a"
            self.output = nnx.Linear(view.num_classes, view.num_classes, rngs=rngs)

        def __call__(self, image, *, train, dynamic):
            row = jnp.ones((len(image), self.output.in_features))
            return self.output(row) * dynamic["gain"] + jnp.arange(10)[None] * train

    fields = config_fields(Scaled.config)
    # Whole numbers in a range of real ones are real; the default too.
    assert {name: kind for name, (kind, _, _) in fields.items()} == {"gain": float, "kind": str}
    losses = [
        float(loss_of(TaskSpec("scaled", {"gain": gain}, DataSpec("digits"), 4))[0])
        for gain in (1, 3)
    ]
    assert losses[0] != losses[1]


def test_a_text_family_and_its_version():
    fields = {
        "sequence_length": static(log_int(4, 8), default=4),
        "vocab_size": static(log_int(8, 16), default=8),
    }

    @family("bigram", data_kind="text", version=3, **fields)
    def bigram(config, view, *, rngs, dynamic):
        return nnx.Embed(view.vocab_size, view.vocab_size, rngs=rngs)

    (spec,) = velodrome.sample(1, seed=0, family="bigram", data="built-in")
    assert spec.data.name == "kjv"
    assert spec.to_json()["version"] == 3
    vocabulary = spec.config.vocab_size
    assert velodrome.cost(spec).params == vocabulary * vocabulary


def test_what_is_no_field_and_names_that_are_taken_are_refused():
    with pytest.raises(SpecError, match=r"family.width: got 8, .* static\(...\) or dynamic"):
        family("wrong", width=8)
    declare = family("mlp", width=static(log_int(4, 64), default=8))
    with pytest.raises(VelodromeError, match="'mlp' is registered already; choose another"):
        declare(Long)


CELL = """
from flax import nnx
from velodrome.taskgen.registry import family
from velodrome.taskgen.space.distributions import log_int
from velodrome.taskgen.space.fields import static

@family("cell", width=static(log_int(4, 64), default={width}))
def {name}(config, view, *, rngs, dynamic):
    hidden = nnx.Linear(view.pixels, {factor} * config.width, rngs=rngs)
    output = nnx.Linear({factor} * config.width, view.num_classes, rngs=rngs)
    return nnx.Sequential(lambda image: image.reshape(len(image), -1), hidden, nnx.relu, output)
"""


def run_cell(module: str = "__main__", *, name: str = "mine", width: int = 8, factor: int = 1):
    """Run a cell of a notebook, whose functions are those of the module ``__main__``."""
    names: dict[str, Any] = {"__name__": module}
    exec(CELL.format(name=name, width=width, factor=factor), names)
    return names[name]


def test_a_cell_that_is_run_again_replaces_its_family():
    first = run_cell()
    assert families.get("cell") is first
    assert velodrome.cost(TaskSpec("cell", {}, DataSpec("digits"), 4)).params == 65 * 8 + 9 * 10
    again = run_cell(width=16, factor=2)
    assert families.get("cell") is again is not first
    # The present family counts, for what was sampled before too.
    assert velodrome.cost(TaskSpec("cell", {}, DataSpec("digits"), 4)).params == 65 * 32 + 33 * 10
    assert "cell" in families.names()


def test_a_task_is_built_of_the_present_network_even_if_the_config_is_the_old_one():
    for bias in (True, False):

        class Network(nnx.Module):
            def __init__(self, config, view, *, rngs, dynamic, bias=bias):
                self.output = nnx.Linear(64, 10, use_bias=bias, rngs=rngs)

            def __call__(self, image):
                return self.output(flat(image))

        Network.__module__ = "__main__"
        families.register("kept", Family("kept", LongConfig, Network))
        params, _ = velodrome.build(TaskSpec("kept", {}, DataSpec("digits"), 4)).shapes
        assert set(params["output"]) == ({"kernel", "bias"} if bias else {"kernel"})


@pytest.mark.parametrize(
    ("module", "name"), [("__main__", "another"), ("one_package", "mine"), ("other", "mine")]
)
def test_another_definition_of_the_same_name_is_refused(module: str, name: str):
    run_cell("one_package")
    with pytest.raises(VelodromeError, match="family 'cell' is registered already"):
        run_cell(module, name=name)
    with pytest.raises(VelodromeError, match="family 'cell' is registered already"):
        run_cell()
