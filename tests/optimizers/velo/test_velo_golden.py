from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
from golden_files import STEPS, TOLERANCES, Golden, medium, relative_error, small, wrapped

from velodrome.optimizers.velo.controller import control, fold
from velodrome.optimizers.velo.grouping import make_groups
from velodrome.optimizers.velo.loss_averages import loss_features
from velodrome.optimizers.velo.optimizer import velo
from velodrome.optimizers.velo.tensor_statistics import Observation, lstm_inputs


def train(
    golden: Golden, tx: optax.GradientTransformationExtraArgs
) -> Iterator[tuple[int, Any, Any]]:
    """Yield step, parameters and state after each of the golden steps."""
    params: Any = golden.params(0)
    state: Any = jax.jit(tx.init)(params)
    update = jax.jit(tx.update)
    for step in range(1, STEPS + 1):
        loss = golden.losses[step - 1]
        updates, state = update(golden.gradients(step), state, params, value=loss)
        params = optax.apply_updates(params, updates)
        yield step, params, state


@pytest.fixture(scope="module")
def small_run():
    golden = small()
    return golden, list(train(golden, velo(100, weights=golden.weights)))


def test_every_step_of_every_tensor_small(small_run):
    golden, steps = small_run
    for step, params, _ in steps:
        golden.check(step, params)
        wrapped("plain").check(step, params)


def test_every_step_of_every_tensor_medium():
    golden = medium()
    for step, params, _ in train(golden, velo(100, weights=golden.weights)):
        golden.check(step, params)


# Both together are in every run of the tests, each alone in those that take long.
@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("wd", marks=pytest.mark.long),
        pytest.param("accum", marks=pytest.mark.long),
        "accum_wd",
    ],
)
def test_wrapper(mode):
    golden = wrapped(mode)
    tx = velo(
        100,
        weights=golden.weights,
        weight_decay=0.01 if "wd" in mode else 0.0,
        max_training_steps=40 if "accum" in mode else 150_000,
    )
    for step, params, _ in train(golden, tx):
        golden.check(step, params)


@pytest.mark.parametrize("make", [small, pytest.param(medium, marks=pytest.mark.long)])
def test_oracle_is_right_too(make):
    golden = make()
    params = golden.params(0)
    state = oracle.init(golden.weights, params, 100)
    run = oracle.jitted(golden.weights, 100)
    for step in range(1, STEPS + 1):
        loss = golden.losses[step - 1]
        params, state = run(params, state, golden.gradients(step), loss)
        golden.check(step, params)


def tensor_order(golden: Golden) -> list[int]:
    """Return where each row of our state is among the leaves."""
    groups = make_groups([leaf.shape for leaf in jax.tree.leaves(golden.params(0))])
    return [member for group in groups for member in group.members]


def test_state(small_run):
    golden, steps = small_run
    states = {step: state for step, _, state in steps}
    for step in (1, 12):
        tolerance = TOLERANCES[step - 1]
        state, order = states[step], tensor_order(golden)

        def saved(key: str, step: int = step):
            return golden.arrays[f"state{step}/.{key}"]

        def same(found, key: str, tolerance: float = tolerance):
            assert relative_error(found, saved(key)) <= tolerance, key

        assert state.iteration == saved("iteration")
        same(state.loss.decays, "loss_buffer['decays']", 0.0)
        same(state.loss.means, "loss_buffer['means']")
        same(state.loss.minima, "loss_buffer['running_min']")
        for ours, key in ((state.lstm.hidden, "hidden"), (state.lstm.cell, "cell")):
            in_leaf_order = np.empty_like(ours)
            in_leaf_order[order] = ours
            same(in_leaf_order, f"lstm_hidden_state.{key}")
        groups = make_groups([leaf.shape for leaf in jax.tree.leaves(golden.params(0))])
        for group, accumulators in zip(groups, state.groups, strict=True):
            for row, member in enumerate(group.members):
                name = golden.names[member]

                def part(stacked, row: int = row, group=group):
                    return group.shape_back([stacked[i] for i in range(len(group.members))])[row]

                for k in range(3):
                    momentum = saved(f"mom_rolling.m['{name}']")[..., k]
                    assert relative_error(part(accumulators.averages[k]), momentum) <= tolerance
                second = saved(f"rms_rolling.rms['{name}']")[..., 0]
                assert relative_error(part(accumulators.averages[3]), second) <= tolerance
                check_factored(accumulators, group, row, name, saved, tolerance)


def check_factored(accumulators, group, row, name, saved, tolerance):
    if not hasattr(accumulators, "by_row"):
        for k in range(3):
            parts = [accumulators.averages[4 + k][i] for i in range(len(group.members))]
            found = group.shape_back(parts)[row]
            expected = saved(f"fac_rolling.v_diag['{name}']")[..., k]
            assert relative_error(found, expected) <= tolerance
        return
    by_row, by_column = accumulators.by_row, accumulators.by_column
    if not group.larger_last:
        by_row, by_column = by_column, by_row
    for found, key in ((by_row, "v_row"), (by_column, "v_col")):
        expected = np.moveaxis(saved(f"fac_rolling.{key}['{name}']"), -1, 0)
        # Both flattened: the factored dimension is last of ours, anywhere in the original.
        found = np.sort(np.asarray(found[:, row]).reshape(3, -1))
        assert relative_error(found, np.sort(expected.reshape(3, -1))) <= tolerance


def test_what_the_lstm_reads_and_writes(small_run):
    golden, steps = small_run
    order = tensor_order(golden)
    assert [golden.names[i] for i in range(9)] == list(golden.arrays["inter/row_names"])
    groups = make_groups([leaf.shape for leaf in jax.tree.leaves(golden.params(0))])
    controller = fold(golden.weights)

    @jax.jit
    def read_and_write(before, after, mean_square):
        features = loss_features(after.loss)
        inputs = lstm_inputs(
            Observation(
                statistics=before.statistics,
                mean_square=mean_square,
                ranks=tuple(rank for group in groups for rank in group.ranks),
                fraction_trained=before.iteration / jnp.float32(100),
                loss=features,
            )
        )
        shared = jnp.tile(inputs.shared, (len(order), 1))
        networks, _ = control(controller, inputs, before.lstm)
        return features, jnp.concatenate([shared, inputs.own], axis=1), networks

    before: Any = velo(100, weights=golden.weights).init(golden.params(0))
    params = golden.params(0)
    for step, params_after, after in steps:
        squares = [np.mean(np.square(params[golden.names[i]])) for i in order]
        features, inputs, networks = read_and_write(before, after, np.stack(squares))
        expected = golden.arrays["inter/lstm_in"][step - 1][order]
        tolerance = 1e-6 if step <= 2 else 3e-5 if step <= 10 else 2e-3
        np.testing.assert_allclose(inputs, expected, atol=tolerance)
        np.testing.assert_allclose(
            features, golden.arrays["inter/loss_features"][step - 1], atol=tolerance
        )
        np.testing.assert_allclose(
            networks[:, -1], golden.arrays["inter/lr_mult"][step - 1][order], rtol=tolerance
        )
        # The controls are folded away: what they make of the bank must be the same.
        controls = golden.arrays["inter/controls"][step - 1][order]
        mixed = 100 * np.mean(controls[:, :, None] * golden.weights.bank_b1[None], axis=1)
        np.testing.assert_allclose(networks[:, 140:144], mixed, atol=tolerance, rtol=tolerance)
        before, params = after, params_after
