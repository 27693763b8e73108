"""What the numbers of a run depend on besides its seed and hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping

from velodrome.foundation.canonical import content_hash

#: The fields of a protocol that a run's numbers depend on: how it is measured. All others say
#: which runs are asked for.
MEASURED = (
    "eval_every", "heldout_every", "eval_examples", "eval_batches", "eval_mode",
    "eval_batch_count", "corpus_examples", "version",
)  # fmt: skip


def measurement(protocol: Mapping[str, object]) -> dict[str, object]:
    """Return the part of a protocol that says how runs are measured."""
    return {name: protocol[name] for name in MEASURED if name in protocol}


def cell_id(
    *,
    task: str,
    data: object,
    optimizer: tuple[str, int, Mapping[str, object]],
    protocol: Mapping[str, object],
    horizon: int | None,
) -> str:
    """Return 16 hexadecimal digits that stand for all of this.

    Args:
      task: Hash of its spec and of the code of its family.
      data: Hash of its arrays, and other facts that its shapes depend on.
      optimizer: Name, version and identity.
      protocol: As JSON.
      horizon: Updates that the run makes; None if the optimizer does not know it, so that a
        shorter run is the beginning of a longer one.
    """
    name, version, identity = optimizer
    return content_hash(
        {
            "task": task,
            "data": data,
            "optimizer": {"name": name, "version": version, "identity": dict(identity)},
            "measured": measurement(protocol),
            "horizon": horizon,
        }
    )[:16]
