"""The published optimizers other than Celo, against runs of the original."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import optax
import pytest
from celo_golden_files import GOLDEN, INPUTS, NAMES, check, compiled, weights_of

from velodrome.optimizers.learned.adafac_mlp import adafac_mlp
from velodrome.optimizers.learned.celo2 import celo2, celo2_base
from velodrome.optimizers.learned.celo_adam import celo_adam
from velodrome.optimizers.learned.rnn_mlp import rnn_mlp
from velodrome.optimizers.learned.specs import published_spec

EXPECTED = np.load(GOLDEN / "golden_celo_others_small.npz")
TOLERANCES = (1e-6,) * 2 + (5e-6,) * 10


def _velo_s(*, weights: Any) -> optax.GradientTransformationExtraArgs:
    del weights
    return published_spec("velo-s", path=GOLDEN / "params_velo_s_small").make({}, num_steps=100)


MAKE: dict[str, Callable[..., optax.GradientTransformationExtraArgs]] = {
    "celo-adam": partial(celo_adam, 100),
    "velo-s": _velo_s,
    "adafac-mlp": adafac_mlp,
    "rnn-mlp": rnn_mlp,
    "celo2-base": partial(celo2_base, 0.01),
    "celo2": partial(celo2, 0.01, weight_decay=0.1, adam_for="^(scalar|vec)"),
}
#: The weights of both are the same file.
FILES = {"celo2-base": "celo2"}


#: Where each tensor moves by itself, a few of them take part in the quick tests: a vector, a matrix
#: that is tall, and a tensor whose factored dimensions are not its last.
ALONE = ("adafac-mlp", "celo2", "celo2-base")
FEW = ("vec5", "mat7x3", "conv3325")


def check_both(name: str, names: Sequence[str]) -> None:
    """Check a run as it is, and with gradients of a millionth, which show every epsilon."""
    tx = compiled(MAKE[name](weights=weights_of(FILES.get(name, name))))
    for prefix, factor in (("", 1.0), ("tiny/", INPUTS["tiny/grad_multiplier"])):
        where = f"{name.replace('-', '_')}/{prefix}params"

        def expected(tensor: str, where: str = where) -> np.ndarray:
            return EXPECTED[f"{where}/{tensor}"]

        check(tx, expected, TOLERANCES, factor=factor, names=names)


# velo-s is VeLO, whose own tests are quick.
@pytest.mark.parametrize("name", [name for name in MAKE if name != "velo-s"])
def test_every_step(name: str):
    check_both(name, FEW if name in ALONE else NAMES)


@pytest.mark.long
@pytest.mark.parametrize("name", ["velo-s", *ALONE])
def test_every_step_of_every_tensor(name: str):
    check_both(name, NAMES)
