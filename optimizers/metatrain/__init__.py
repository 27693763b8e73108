"""Meta-training: evolving VeLO weights on sampled tasks, or searching some of their numbers.

`metatrain` runs a `MetaTrainConfig`; on the command line,
``velodrome metatrain --config velo-tiny --out DIR``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optimizers.metatrain.config import (
    MetaTrainConfig,
    SearchConfig,
    builtin_configs,
    load_config,
    load_plan,
)

if TYPE_CHECKING:
    from optimizers.metatrain.loop import MetaTrainResult, metatrain
    from optimizers.metatrain.search import search_numbers

__all__ = [
    "MetaTrainConfig",
    "MetaTrainResult",
    "SearchConfig",
    "builtin_configs",
    "load_config",
    "load_plan",
    "metatrain",
    "search_numbers",
]


def __getattr__(name: str) -> Any:
    # Lazily, so that reading the config of an evolution needs no jax.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from optimizers.metatrain import loop, search

    return getattr(search if name == "search_numbers" else loop, name)
