"""The contract of every registered family, and that the checks can fail."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import velodrome
from foundation.errors import VelodromeError
from taskgen.space import config_fields
from velodrome import cli
from velodrome.check import check_family, check_task, run_checks
from velodrome.contracts import family_contract, task_contract

FAMILIES = (
    "mlp",
    "cnn",
    "rnn",
    "transformer",
    "autoencoder",
    "resnet",
    "vit",
    "mlp_mixer",
    "es_wrapped",
    "learned_optimizer",
    "learned_optimizer_pes",
)


#: What tests/taskgen puts every family through already, on more configs.
ELSEWHERE = ("cost", "metrics", "learning")


@pytest.fixture(scope="module", params=FAMILIES)
def family_subject(request: pytest.FixtureRequest) -> family_contract.Subject:
    return family_contract.Subject(velodrome.families.get(request.param))


@pytest.mark.parametrize(
    "check", [name for name in family_contract.CHECKS if name not in ELSEWHERE]
)
@pytest.mark.slow
def test_registered_families_keep_the_contract(family_subject: family_contract.Subject, check: str):
    family_contract.CHECKS[check](family_subject)


@pytest.mark.parametrize("check", ELSEWHERE)
def test_a_good_family_passes_the_rest(check: str):
    subject = family_contract.Subject(velodrome.families.get("mlp"))
    family_contract.CHECKS[check](subject)


@pytest.mark.parametrize("family", ["mlp", "cnn", "rnn", "transformer"])
def test_dynamic_variants_of_registered_families_differ(family: str):
    """Also where the sampler draws one value only, and the cheapest config uses none."""
    subject = family_contract.Subject(velodrome.families.get(family))
    fields = config_fields(subject.family.config)
    names = [name for name, (_, info, _) in fields.items() if info.dynamic]
    variants = [family_contract._variant(subject, names, index) for index in range(8)]
    assert names
    assert len({json.dumps(variant) for variant in variants}) == 8
    for variant in variants:  # all of them allowed
        subject.spec(variant)


def test_all_families_are_tested():
    assert set(FAMILIES) == set(velodrome.families.names())


@pytest.fixture(scope="module")
def spec() -> Any:
    return velodrome.TaskSpec("mlp", {"num_layers": 0}, velodrome.DataSpec("digits"), 4)


@pytest.fixture
def subject(spec: Any) -> task_contract.Subject:
    return task_contract.prepare(spec)


def failing(results: list[Any]) -> dict[str, str]:
    return {result.name: result.problem for result in results if not result.passed}


def test_a_good_task_passes(spec: Any):
    results = check_task(spec)
    assert failing(results) == {}
    assert [result.name for result in results] == list(task_contract.CHECKS)
    assert all(result.demand.endswith(".") for result in results)


Changes = Callable[[Any], dict[str, Any]]


def with_loss(change: Callable[..., Any]) -> Changes:
    """Puts ``change(loss, state)`` in place of what a task's loss returns."""

    def make(task: Any) -> dict[str, Any]:
        def loss(params, state, key, batch, *, train, dynamic=None):
            return change(*task.loss(params, state, key, batch, train=train, dynamic=dynamic))

        return {"loss": loss}

    return make


def with_params(change: Callable[[Any], Any]) -> Changes:
    """Puts ``change(params)`` in place of what a task's init returns."""

    def make(task: Any) -> dict[str, Any]:
        def init(key, dynamic=None):
            params, state = task.init(key, dynamic)
            return change(params), state

        return {"init": init}

    return make


def with_cost(name: str, change: Callable[[int], int]) -> Changes:
    return lambda task: {
        "cost": dataclasses.replace(task.cost, **{name: change(getattr(task.cost, name))})
    }


def double_metric(task: Any) -> dict[str, Any]:
    def metrics(*arguments, **options):
        total, count = task.metrics(*arguments, **options)["loss"]
        return {"loss": (total * 2, count)}

    return {"metrics": metrics}


def halve(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float16), tree)


#: Ways to break a task, each with the check that must notice and what that must say.
BROKEN: dict[str, tuple[Changes, str, str]] = {
    "flops": (with_cost("flops", lambda n: n // 2), "cost", r"says [\d,]+ FLOPs, the program has"),
    "params": (with_cost("params", lambda n: n + 1), "cost", r"says [\d,]+ parameters, the progr"),
    "list": (with_params(lambda p: [p]), "trees", "params must be nested dictionaries of arrays"),
    "half": (with_params(halve), "trees", "parameters must be float32, found float16"),
    "vector": (with_loss(lambda v, s: (v[None], s)), "loss", r"float32 scalar, is float32\[1\]"),
    "NaN": (with_loss(lambda v, s: (v * jnp.nan, s)), "loss", "is nan at the start"),
    "state": (with_loss(lambda v, s: (v, {"n": v})), "loss", "changes shapes or types of the sta"),
    "normalize": (lambda task: {"normalize": lambda v: v + jnp.inf}, "loss", "normalize.* is inf"),
    "metrics": (double_metric, "metrics", "the metric 'loss' is .*, the loss is"),
    "no metric": (lambda task: {"metrics": lambda *a, **k: {}}, "metrics", "lack 'loss'"),
    "zero": (
        with_loss(lambda v, s: (jax.lax.stop_gradient(v), s)),
        "gradients",
        "all gradients are zero",
    ),
    "one key": (
        lambda task: {"init": lambda key, dynamic=None: task.init(jax.random.key(0), dynamic)},
        "seeds",
        "init gives the same parameters for every key",
    ),
    "raise": (with_loss(lambda v, s: 1 / 0), "loss", "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_task_is_noticed(subject: task_contract.Subject, kind: str):
    change, name, message = BROKEN[kind]
    task = dataclasses.replace(subject.task, **change(subject.task))
    broken = dataclasses.replace(subject, task=task)
    (result,) = run_checks({name: task_contract.CHECKS[name]}, broken)
    assert re.search(message, result.problem)


@dataclasses.dataclass(frozen=True)
class GainConfig:
    gain: float = velodrome.dynamic(velodrome.log_float(0.5, 2.0), default=1.0)
    width: int = velodrome.static(velodrome.log_int(2, 8), default=4)


class Good(nnx.Module):
    def __init__(self, config, view, *, rngs, dynamic):
        self.linear = nnx.Linear(view.pixels, view.num_classes, rngs=rngs)
        self.config = config

    def __call__(self, image, *, dynamic):
        return self.linear(image.reshape(image.shape[0], -1)) * dynamic["gain"]


class KeepsConstants(Good):
    """Bakes the config's value in, so that traced ones change nothing."""

    def __call__(self, image, *, dynamic):
        return super().__call__(image, dynamic={"gain": self.config.gain})


class Rounds(Good):
    """Computes something else from a traced value than from a constant."""

    def __call__(self, image, *, dynamic):
        gain = dynamic["gain"]
        traced = isinstance(gain, jax.Array)
        return super().__call__(image, dynamic={"gain": gain + 1 if traced else gain})


class Ignores(Good):
    """Declares a dynamic value and does nothing with it."""

    def __call__(self, image, *, dynamic):
        del dynamic
        return super().__call__(image, dynamic={"gain": 1.0})


@dataclasses.dataclass(frozen=True)
class OneGainConfig:
    """A dynamic field that can have one value only."""

    gain: float = velodrome.dynamic(velodrome.choice((1.0,)), default=1.0)


class NeedsNumbers(Good):
    """Branches in Python on a value that may be traced."""

    def __call__(self, image, *, dynamic):
        return super().__call__(image, dynamic=dynamic) if dynamic["gain"] > 0 else image


class Frozen(Good):
    """Learns nothing."""

    def __call__(self, image, *, dynamic):
        return jax.lax.stop_gradient(super().__call__(image, dynamic=dynamic))


def half_the_cost(spec: Any, info: Any) -> Any:
    del spec, info
    return velodrome.Cost(1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    "changes, check, message",
    [
        (
            {"network": KeepsConstants},
            "dynamic",
            "all 8 dynamic variants .* the loss is .* not use",
        ),
        (
            {"network": Ignores},
            "dynamic",
            "all 8 dynamic variants .* the loss is .* not use",
        ),
        ({"network": Rounds}, "dynamic", "traced the loss is .*, with them constant"),
        ({"config": OneGainConfig}, "dynamic", "fields gain allow a single value; declare them st"),
        ({"network": NeedsNumbers}, "dynamic", "TracerBoolConversionError"),
        ({"network": Frozen}, "learning", "the loss only falls to"),
        ({"network": Frozen}, "gradients", "all gradients are zero"),
        ({"cost": half_the_cost}, "cost", "cost says 1 parameters, the program has"),
    ],
)
def test_a_familys_mistakes_are_noticed(changes: dict[str, Any], check: str, message: str):
    family = velodrome.Family(**{"name": "gain", "config": GainConfig, "network": Good, **changes})
    with velodrome.families.temporarily("gain", family):
        checks = {check: family_contract.CHECKS[check]}
        (result,) = run_checks(checks, family_contract.Subject(family))
    assert re.search(message, result.problem)


def test_a_family_is_registered_only_while_it_is_checked(monkeypatch: pytest.MonkeyPatch):
    checks = {"sampling": family_contract.CHECKS["sampling"]}
    monkeypatch.setattr(family_contract, "CHECKS", checks)
    family = velodrome.Family(name="gain", config=GainConfig, network=Good)
    assert failing(check_family(family)) == {}
    assert "gain" not in velodrome.families.names()
    taken = velodrome.Family(name="mlp", config=GainConfig, network=Good)
    with pytest.raises(VelodromeError, match="another family is registered as 'mlp'"):
        check_family(taken)


@pytest.fixture
def lazy_file(tmp_path: Any) -> Iterator[str]:
    path = tmp_path / "lazy.py"
    path.write_text(
        "import optax\nimport velodrome\n"
        "lazy = velodrome.OptimizerSpec('lazy', 'Lazy', lambda: optax.set_to_zero())\n"
    )
    yield f"{path}:lazy"


def test_the_command_shows_a_table_and_exits_with_1_if_one_fails(
    lazy_file: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["check", "optimizer", lazy_file]) == 1
    shown = capsys.readouterr().out
    assert "FAIL" in shown and "pass" in shown
    assert "no point of the sweep halves a quadratic" in shown
    assert "1 of 4 checks failed" in shown
