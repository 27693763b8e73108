"""`Spread`: the devices that one run is trained on together, and what each of them keeps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from velodrome.foundation.errors import PlanError, SpecError
from velodrome.foundation.text import plural
from velodrome.results.store.records import SpreadRecord
from velodrome.suites.suite import Suite

#: Of every large array of parameters and optimizer state, each device keeps a part (``full``), or
#: all (``data``). In both, each computes a part of every batch.
SHARDINGS = ("full", "data")

ALL = "all"


@dataclass(frozen=True)
class Spread:
    """One run at a time on several devices of a process.

    Attributes:
      devices: How many.
      sharding: One of `SHARDINGS`.

    Raises:
      SpecError: One of them is not allowed.
    """

    devices: int
    sharding: str = SHARDINGS[0]

    def __post_init__(self) -> None:
        if type(self.devices) is not int or self.devices < 1:
            raise SpecError("devices", self.devices, f"a number from 1 on, or {ALL}")
        if self.sharding not in SHARDINGS:
            raise SpecError("sharding", self.sharding, f"one of {', '.join(SHARDINGS)}")

    @classmethod
    def of(
        cls, devices: int | str | None, sharding: str | None, here: Callable[[], int]
    ) -> Spread | None:
        """Return what a user asks for; None: runs are not spread.

        Args:
          devices: A number, also as text, or ``"all"``.
          here: Counts the devices of a process that trains.

        Raises:
          SpecError: It is something else.
          PlanError: A sharding is given without devices.
        """
        if devices is None:
            if sharding is not None:
                raise PlanError(
                    f"sharding {sharding!r} says what each of several devices keeps of a run; "
                    "give devices (--devices) too."
                )
            return None
        if isinstance(devices, str):
            if devices != ALL and not devices.isdigit():
                raise SpecError("devices", devices, f"a number from 1 on, or {ALL}")
            devices = here() if devices == ALL else int(devices)
        return cls(devices, SHARDINGS[0] if sharding is None else sharding)

    def record(self, start: int = 0) -> SpreadRecord:
        """Return what results say of it, for runs that have made ``start`` updates."""
        return {"start": start, "devices": self.devices, "sharding": self.sharding}

    @property
    def state_parts(self) -> int:
        """Into how many parts parameters and optimizer state are split."""
        return self.devices if self.sharding == "full" else 1

    def check(self, suite: Suite) -> None:
        """Refuse a suite with batches that the devices cannot share evenly.

        Raises:
          PlanError: With the numbers of devices that could.
        """
        # All tasks have these: the next try should not fail at another task.
        common = math.gcd(*(task.part_size for task in suite.tasks))
        fitting = [n for n in range(1, self.devices) if common % n == 0]
        for task in suite.tasks:
            # What goes through the network at once: a batch, or each of its parts.
            size, parts = task.part_size, task.grad_accumulation
            if size % self.devices:
                what = f"a batch of {size:,}" if parts == 1 else f"parts of a batch of {size:,}"
                raise PlanError(
                    f"the task {task.label} has {what}, which "
                    f"{plural(self.devices, 'device')} cannot share evenly; choose another number "
                    f"of devices: {', '.join(map(str, fitting))}."
                )

    def check_devices(self, here: int) -> None:
        """Raise a `PlanError` if there are fewer devices than asked for."""
        if self.devices > here:
            raise PlanError(
                f"{plural(self.devices, 'device')} are asked for, but jax finds "
                f"{plural(here, 'device')} here; give at most {here}, or {ALL!r}."
            )


def setting_of(spread: Spread | None) -> dict[str, Any] | None:
    """Return a spread as JSON, for workers in other processes."""
    return None if spread is None else dataclasses.asdict(spread)


def spread_of(setting: Mapping[str, Any] | None) -> Spread | None:
    """Return the spread that `setting_of` wrote."""
    return None if setting is None else Spread(**setting)


def continued(
    before: Sequence[SpreadRecord], now: Spread | None, step: int
) -> Sequence[SpreadRecord]:
    """Return what results say of runs that go on at ``step``; nothing if they never were spread."""
    if not before and now is None:
        return ()
    alone: SpreadRecord = {"start": 0, "devices": 1}
    before = before or (alone,)
    mine: SpreadRecord = {**(alone if now is None else now.record()), "start": before[-1]["start"]}
    return before if mine == before[-1] else (*before, {**mine, "start": step})
