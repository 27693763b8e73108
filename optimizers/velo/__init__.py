"""VeLO (Metz et al. 2022, arXiv 2211.09760) as an optax optimizer: exact, and fast.

`velo` makes the optimizer from weights by name, path or value; `velo_from_theta` from weights
that may be traced, as meta-training has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizers.velo.optimizer import velo, velo_from_theta
    from optimizers.velo.weights import VeLOWeights, init_weights

__all__ = ["VeLOWeights", "init_weights", "velo", "velo_from_theta"]

_HOMES = {"velo": "optimizer", "velo_from_theta": "optimizer"}


def __getattr__(name: str) -> Any:
    # Lazily, so that reading weights files needs no jax.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'weights')}"), name)
