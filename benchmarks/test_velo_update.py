"""Time of a VeLO update: ``pytest benchmarks/test_velo_update.py --benchmark-enable -s``.

At the size of the official checkpoint (LSTM 512, bank 256), against the straightforward
implementation that the tests keep as the oracle, and Adam; and with the built-in weights against
Adam. All in one process, taking turns, the parameters' update included. The medians' ratios count,
because machines drift.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from velo_problems import Arm, adam, arrays, built_in, in_turns, lowered, ours, per_tensor

ROUNDS = 9
#: Least ratio of the per-tensor implementation's time to ours.
LEAST = {"mlp-784-128-128-10": 7, "conv-57k": 7, "transformer-6x128": 12, "mlp-10M": 12}
LANES = 8


#: Most that an update by velo-tiny may take, of Adam's time.
MOST = {"mlp-64-16-16-10": 1.8, "mlp-784-128-128-10": 3.5, "transformer-6x128": 4.5}


def _milliseconds(benchmark: Any, arms: dict[str, Arm]) -> dict[str, float]:
    return benchmark.pedantic(in_turns, args=(arms, ROUNDS), rounds=1)


@pytest.mark.parametrize("name", list(LEAST))
def test_update(benchmark, name):
    arms = {
        "ours": Arm(ours, name, 5),
        "per tensor": Arm(per_tensor, name, 1),
        "Adam": Arm(adam, name, 20),
    }
    times = _milliseconds(benchmark, arms)
    ratio = times["per tensor"] / times["ours"]
    benchmark.extra_info.update(milliseconds=times, ratio=ratio)
    shown = ", ".join(f"{label} {value:.2f} ms" for label, value in times.items())
    print(f"\n{name:20} {shown}: {ratio:.1f}x")
    assert ratio >= LEAST[name]


@pytest.mark.parametrize("name", list(MOST))
def test_update_by_the_built_in_weights(benchmark, name):
    arms = {"velo-tiny": Arm(built_in, name, 20), "Adam": Arm(adam, name, 20)}
    times = _milliseconds(benchmark, arms)
    ratio = times["velo-tiny"] / times["Adam"]
    benchmark.extra_info.update(milliseconds=times, ratio=ratio)
    shown = ", ".join(f"{label} {value:.3f} ms" for label, value in times.items())
    print(f"\n{name:20} {shown}: {ratio:.2f}x")
    assert ratio <= MOST[name]


@pytest.mark.parametrize("name", ["mlp-784-128-128-10", "conv-57k", "transformer-6x128"])
def test_lanes(benchmark, name):
    """Eight lanes in one vmapped update, against eight updates one after another."""
    params, grads, loss = arrays(name, 0), arrays(name, 1), jnp.float32(2)
    step, state = ours(params)
    one = lowered(step, params, state, grads, loss).compile()

    def stacked(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.stack([leaf] * LANES), tree)

    together = stacked((params, state))
    args = (stacked(grads), jnp.full(LANES, loss))
    all_lanes = lowered(jax.vmap(step), *together, *args).compile()
    singles = [jax.tree.map(jnp.copy, (params, state)) for _ in range(LANES)]
    samples: list[tuple[float, float]] = []

    def rounds() -> None:
        nonlocal together, singles
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            singles = [one(*lane, grads, loss) for lane in singles]
            jax.block_until_ready(singles)
            middle = time.perf_counter()
            together = jax.block_until_ready(all_lanes(*together, *args))
            samples.append((middle - start, time.perf_counter() - middle))

    benchmark.pedantic(rounds, rounds=1)
    apart, side_by_side = (statistics.median(column) for column in zip(*samples[1:], strict=True))
    ratio = side_by_side / apart
    benchmark.extra_info["per lane over a single update"] = ratio
    print(f"\n{name:20} {LANES} lanes {side_by_side * 1e3:.1f} ms, {ratio:.2f} per lane of one")
    assert ratio <= 1.3
