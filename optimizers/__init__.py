"""What trains: optax transformations, by name, with the sweeps they are published with."""

from __future__ import annotations

from optimizers.registry import OptimizerSpec, optimizers

__all__ = ["OptimizerSpec", "optimizers"]
