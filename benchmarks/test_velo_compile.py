"""Time to compile a VeLO update: ``pytest benchmarks/test_velo_compile.py --benchmark-enable -s``.

Tracing and compiling, at the size of the official checkpoint, against the straightforward
implementation that the tests keep as the oracle; no cache takes part.
"""

from __future__ import annotations

import pytest
from velo_problems import compile_seconds, ours, per_tensor

#: Least ratio of the per-tensor implementation's time to ours.
LEAST = {"mlp-784-128-128-10": 1, "conv-57k": 1, "transformer-6x128": 5, "mlp-10M": 1}


@pytest.mark.parametrize("name", list(LEAST))
def test_compile(benchmark, name):
    # Twice in turns: the first time of either also pays for what jax does once a process.
    pairs = []

    def rounds() -> None:
        for _ in range(2):
            pairs.append((compile_seconds(per_tensor, name), compile_seconds(ours, name)))

    benchmark.pedantic(rounds, rounds=1)
    theirs, mine = pairs[-1]
    benchmark.extra_info.update(seconds=mine, ratio=theirs / mine)
    print(f"\n{name:20} ours {mine:.2f} s, per tensor {theirs:.2f} s: {theirs / mine:.1f}x")
    assert theirs / mine >= LEAST[name]
