"""Collect the values that a shard measures: on the device until they are asked for."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import numpy as np
from jax.typing import ArrayLike

from velodrome.suites.training.taskdata import SPLITS

_TYPES = {
    "lane": np.int32,
    "step": np.int32,
    "split": np.int8,
    "metric": np.int8,
    "value": np.float32,
}


class CurveBuffer:
    """The measured values of a shard's lanes.

    Values come as device arrays and are fetched together, so that recording never waits for the
    computation.

    Args:
      columns: The `codes` of an earlier part of the same shard.
      metrics: Names that the codes in ``columns["metric"]`` stand for.

    Attributes:
      last_loss: The last training loss of each lane, for progress displays.
    """

    def __init__(
        self, columns: Mapping[str, np.ndarray] | None = None, metrics: list[str] | None = None
    ):
        self.metrics = list(metrics or [])
        self._parts: dict[str, list[np.ndarray]] = {
            name: [np.asarray(columns[name], kind)] if columns else []
            for name, kind in _TYPES.items()
        }
        self._pending: list[tuple[np.ndarray, int, int, Mapping[str, ArrayLike]]] = []
        self.last_loss: dict[int, float] = {}

    def add(
        self, lanes: np.ndarray, step: int, split: str, values: Mapping[str, ArrayLike]
    ) -> None:
        """Record an evaluation.

        Args:
          lanes: Numbers of the lanes, i32[lanes]; lanes with a negative number are left out.
          step: Updates made before it.
          split: ``"train"`` or ``"heldout"``.
          values: ``{metric: array}``, each with one number per lane.
        """
        self._pending.append((lanes, step, SPLITS.index(split), values))

    def fetch(self) -> None:
        """Wait for the values recorded so far and bring them to the host."""
        fetched = jax.device_get([values for *_, values in self._pending])
        for (lanes, step, split, _), values in zip(self._pending, fetched, strict=True):
            for name, value in values.items():
                if name not in self.metrics:
                    self.metrics.append(name)
                numbers = np.asarray(value, np.float32).reshape(-1)[lanes >= 0]
                known = lanes[lanes >= 0]
                full = np.ones(len(known), np.int32)
                row = (known, full * step, full * split, full * self.metrics.index(name), numbers)
                for (column, kind), part in zip(_TYPES.items(), row, strict=True):
                    self._parts[column].append(part.astype(kind))
                if name == "loss" and split == 0:
                    self.last_loss.update(zip(known.tolist(), numbers.tolist(), strict=True))
        self._pending.clear()

    def codes(self) -> dict[str, np.ndarray]:
        """Return the columns with integer codes for split and metric."""
        self.fetch()
        for name, kind in _TYPES.items():
            self._parts[name] = [np.concatenate([np.empty(0, kind), *self._parts[name]])]
        return {name: parts[0] for name, parts in self._parts.items()}

    def divergence(self) -> dict[int, int]:
        """Return for each lane the first step whose train loss is not finite."""
        columns = self.codes()
        bad = ~np.isfinite(columns["value"]) & (columns["split"] == 0)
        if "loss" in self.metrics:
            bad &= columns["metric"] == self.metrics.index("loss")
        found: dict[int, int] = {}
        for lane, step in zip(
            columns["lane"][bad].tolist(), columns["step"][bad].tolist(), strict=True
        ):
            found[lane] = min(step, found.get(lane, step))
        return found

    def columns(self, diverged_at: Mapping[int, int]) -> dict[str, np.ndarray]:
        """Return the columns as the store takes them, sorted by lane, split, metric and step.

        Rows from the step at which a lane diverged (``diverged_at``, by lane) are left out: how
        long its computation went on depends on the machine.
        """
        columns = self.codes()
        limit = np.full(len(columns["lane"]), np.iinfo(np.int32).max, np.int64)
        for lane, step in diverged_at.items():
            limit[columns["lane"] == lane] = step
        order = np.lexsort((columns["step"], columns["metric"], columns["split"], columns["lane"]))
        order = order[columns["step"][order] < limit[order]]
        names = {"split": np.asarray(SPLITS), "metric": np.asarray(self.metrics or [""])}
        return {
            name: names[name][column[order]] if name in names else column[order]
            for name, column in columns.items()
        }
