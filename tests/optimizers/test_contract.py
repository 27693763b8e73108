"""Every registered optimizer goes through the same table of checks."""

from __future__ import annotations

import jax
import optax
import optax.contrib
import pytest
from learned_weights import ALIKE, spec_of

from velodrome.contracts.optimizer import CHECKS, quadratic, train
from velodrome.foundation.errors import VelodromeError
from velodrome.optimizers.registry import optimizers
from velodrome.optimizers.spec import OptimizerSpec

IMPORTED = ["optax:contrib.cocob", "optax:polyak_sgd"]
#: Swept, evaluated elsewhere than it steps, wrapped by us, learned, and imported with a need.
QUICK = ("adam", "schedule_free_adamw", "sm3", "velo", "optax:polyak_sgd")


@pytest.fixture(autouse=True)
def _no_strict_promotion():
    # optax itself mixes types (optax.adam fails under strict promotion); only ours must not.
    with jax.numpy_dtype_promotion("standard"):
        yield


def _cases():
    """All optimizers and checks.

    What compiles is long, but for one optimizer of each kind; so is what shares another one's code.
    """
    for name in [*optimizers.names(), *IMPORTED]:
        for check in CHECKS:
            long = name in ALIKE or (check in ("sweep", "needs") and name not in QUICK)
            yield pytest.param(name, check, marks=[pytest.mark.long] if long else [])


@pytest.mark.parametrize(("name", "check"), list(_cases()))
def test_contract(name: str, check: str):
    CHECKS[check](spec_of(name))


def _ascending(learning_rate: float) -> optax.GradientTransformation:
    return optax.scale(learning_rate)


def _stateful(learning_rate: float) -> optax.GradientTransformation:
    inner = optax.sgd(learning_rate)

    def update(updates, state, params=None, **extra):
        del params
        return inner.update(updates, state[1])[0], (state[0] + 1.5, state[1])

    return optax.GradientTransformationExtraArgs(
        lambda params: (jax.numpy.int32(0), inner.init(params)), update
    )


@pytest.mark.parametrize(
    ("factory", "rates"),
    [
        (optax.lion, (1e-4, 1e-3, 1e-2)),
        pytest.param(optax.adam, (1e-7, 1e-6), marks=pytest.mark.long),
        pytest.param(optax.sgd, (1e-5,), marks=pytest.mark.long),
    ],
)
def test_the_contract_does_not_depend_on_the_scale_of_rates(factory, rates: tuple[float, ...]):
    CHECKS["sweep"](_spec(factory, grid={"learning_rate": rates}))


def test_static_rates_are_all_tried():
    # Only the lowest rate goes down: at the others every update makes it larger.
    rate = frozenset({"learning_rate"})
    grid = {"learning_rate": (0.1, 20.0, 30.0, 40.0, 50.0)}
    CHECKS["sweep"](_spec(optax.sgd, grid=grid, traced=frozenset(), static=rate))


@pytest.mark.long
@pytest.mark.parametrize("check", CHECKS)
def test_an_optimizer_that_calls_the_loss_passes(check: str):
    CHECKS[check](optimizers.get("optax:lbfgs"))


def _spec(factory, **fields) -> OptimizerSpec:
    fields = {
        "grid": {"learning_rate": (0.1, 1.0)},
        "traced": frozenset({"learning_rate"}),
        **fields,
    }
    return OptimizerSpec(name="broken", label="broken", factory=factory, **fields)


@pytest.mark.parametrize(
    ("check", "spec", "message"),
    [
        ("sweep", _spec(_ascending), "halves a quadratic"),
        ("shapes", _spec(_stateful), "state changes shape or type"),
        (
            "needs",
            _spec(
                lambda learning_rate: optax.GradientTransformationExtraArgs(
                    lambda params: (),
                    lambda updates, state, params=None, **extra: (
                        jax.tree.map(lambda g: -learning_rate * len(extra) * g, updates),
                        state,
                    ),
                )
            ),
            "does not need changes the update",
        ),
    ],
)
def test_the_contract_catches_broken_optimizers(check: str, spec: OptimizerSpec, message: str):
    with pytest.raises(VelodromeError, match=message):
        CHECKS[check](spec)


def test_the_contract_evaluates_where_the_optimizer_does():
    def last(**fields) -> float:
        made = _spec(optax.contrib.schedule_free_sgd, **fields)
        return float(quadratic(train(made, {"learning_rate": 0.1}, steps=5)[1]))

    average = last()
    assert average == last(eval_params=optax.contrib.schedule_free_eval_params)
    assert average != last(eval_params=lambda state, params: params)
