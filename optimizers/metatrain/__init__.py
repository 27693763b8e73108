"""Meta-training: evolving VeLO weights on sampled tasks.

`metatrain` runs a `MetaTrainConfig`; on the command line,
``velodrome metatrain --config velo-tiny --out DIR``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimizers.metatrain.config import MetaTrainConfig, builtin_configs, load_config

if TYPE_CHECKING:
    from optimizers.metatrain.loop import MetaTrainResult, metatrain

__all__ = ["MetaTrainConfig", "MetaTrainResult", "builtin_configs", "load_config", "metatrain"]


def __getattr__(name: str) -> Any:
    # Lazily, so that reading a config needs no jax.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from optimizers.metatrain import loop

    return getattr(loop, name)
