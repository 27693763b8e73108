"""The contract of tasks, that its checks can fail, and the command that runs checks."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import velodrome
from velodrome import cli
from velodrome.check import check_task, run_checks
from velodrome.contracts import task as task_contract
from velodrome.taskgen.functions import Corpus


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
    """Put ``change(loss, state)`` in place of what a task's loss returns."""

    def make(task: Any) -> dict[str, Any]:
        def loss(params, state, key, batch, *, train, dynamic=None):
            return change(*task.loss(params, state, key, batch, train=train, dynamic=dynamic))

        return {"loss": loss}

    return make


def with_params(change: Callable[[Any], Any]) -> Changes:
    """Put ``change(params)`` in place of what a task's init returns."""

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


def with_corpus(collected: Callable[[Any], Any], scores: dict[str, float]) -> Changes:
    """Put corpus metrics into a task: one of the name "rank"."""
    corpus = Corpus(
        ("rank",),
        lambda params, state, key, batch, *, dynamic=None: {"label": collected(batch["label"])},
        lambda arrays, dataset: scores,
    )
    return lambda task: {"corpus": corpus}


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
    "no axis": (with_corpus(jnp.sum, {"rank": 1.0}), "corpus", r"'label' of shape \[\] for a bat"),
    "score": (with_corpus(jnp.negative, {}), "corpus", r"numbers of \[\], not of \['rank'\]"),
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
