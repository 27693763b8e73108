"""Loss normalisers that several families declare; jax is imported by the first call."""

from __future__ import annotations

from typing import Any


def deep_classification(loss: Any, view: Any) -> Any:
    """That of residual networks and of networks on patches.

    See :func:`velodrome.taskgen.nn.losses.normalize_deep_classification`.
    """
    from velodrome.taskgen.nn.losses import normalize_deep_classification  # imports jax

    return normalize_deep_classification(loss, view)
