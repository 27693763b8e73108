"""What trains: optax transformations with their sweeps. Look them up with `get` and `names`."""

from __future__ import annotations

from velodrome.optimizers.registry import optimizers

get = optimizers.get
names = optimizers.names
register = optimizers.register

__all__ = ["get", "names", "register"]
