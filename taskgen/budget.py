"""The cap: which tasks can be trained in a GPU-hour, and what is done with those that cannot."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import SpecError, UnknownNameError, VelodromeError
from velodrome.foundation.files import atomic_write_json, cache_dir
from velodrome.foundation.text import size
from velodrome.taskgen.cost.sheet import Cost
from velodrome.taskgen.space.config import config_fields
from velodrome.taskgen.spec import TaskSpec

PROTOCOL_STEPS = 10_000
"""Steps that a task must be able to do in the time allowed: the published training horizon."""

MFLOP = 1_000_000
"""The unit of caps on a training step, in FLOPs."""

PROFILE_SCHEMA = 1
_BUILT_IN = Path(__file__).parent / "profiles"


@dataclass(frozen=True)
class DeviceProfile:
    """What a device can do.

    Attributes:
      name: Short name, such as "v100".
      device: The device in words.
      peak_flops: Peak float32 rate, FLOP/s.
      peak_bytes_per_s: Peak memory bandwidth, bytes/s.
      overhead_s: Seconds that a step takes besides.
      kernel_s: Seconds that each kernel takes at least.
      memory_bytes: Device memory.
      derate: Fraction of both peaks that training programs are taken to reach.
      measured: Whether the figures were measured by ``velodrome calibrate``, or are those of a
        data sheet.
      source: Where the figures come from.
    """

    name: str
    device: str
    peak_flops: int | float
    peak_bytes_per_s: int | float
    overhead_s: int | float
    kernel_s: int | float
    memory_bytes: int
    derate: int | float
    measured: bool
    source: str = ""

    @property
    def label(self) -> str:
        """The name, with "(not measured)" where that is so."""
        return self.name if self.measured else f"{self.name} (not measured)"


def profiles_dir() -> Path:
    """Returns where ``calibrate`` keeps the profiles of this machine."""
    return cache_dir() / "profiles"


def profile_names() -> list[str]:
    """Returns the names of all profiles: built in and calibrated."""
    places = (_BUILT_IN, profiles_dir())
    return sorted({file.stem for place in places for file in place.glob("*.json")})


def load_profile(name: str) -> DeviceProfile:
    """Returns a device profile.

    Args:
      name: A name of :func:`profile_names`, in any case, or the path of a profile's JSON file.

    Raises:
      UnknownNameError: There is no such profile.
      SpecError: The file is no profile.
    """
    # Built-in ones first: what a name means in a spec's record is the same on every machine.
    for file in (_BUILT_IN / f"{name.lower()}.json", profiles_dir() / f"{name.lower()}.json"):
        if file.is_file():
            return _read_profile(file)
    if name.endswith(".json") and Path(name).is_file():
        return _read_profile(Path(name))
    raise UnknownNameError("device profile", name, profile_names())


def check_profile_name(name: str) -> None:
    """Refuses a name for a new profile that a built-in one has, or that is no name of a file.

    Raises:
      SpecError: Under that name, sampling would differ between machines, or the file would lie
        anywhere.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise SpecError("profile.name", name, "letters, digits, and _ - . after the first of them")
    built_in = sorted(file.stem for file in _BUILT_IN.glob("*.json"))
    if name.lower() in built_in:
        raise SpecError("profile.name", name, f"another name than {', '.join(built_in)}")


def save_profile(profile: DeviceProfile) -> Path:
    """Writes a profile where :func:`load_profile` finds it by name, and returns the path.

    Raises:
      SpecError: A built-in profile has that name.
    """
    check_profile_name(profile.name)
    path = profiles_dir() / f"{profile.name.lower()}.json"
    atomic_write_json(path, {"schema": PROFILE_SCHEMA, **dataclasses.asdict(profile)})
    return path


def _read_profile(path: Path) -> DeviceProfile:
    try:
        values = json.loads(path.read_text())
        if values.pop("schema") != PROFILE_SCHEMA:
            raise ValueError(f"the schema is not {PROFILE_SCHEMA}")
        profile = DeviceProfile(**values)
        rates = (profile.peak_flops, profile.peak_bytes_per_s, profile.derate)
        if not all(math.isfinite(rate) and rate > 0 for rate in rates):
            raise ValueError("peaks and derate must be positive")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SpecError(
            "device profile", str(path), f"a JSON file that `velodrome calibrate` wrote ({error})"
        ) from error
    return profile


def predict_seconds(cost: Cost, profile: DeviceProfile) -> float:
    """Returns the predicted seconds of a training step, without the optimizer's own work.

    The roofline model (Williams et al. 2009): a step is bound by arithmetic or by memory
    traffic, whichever takes longer; to which launching its kernels and the step itself add.
    """
    arithmetic = cost.flops / (profile.peak_flops * profile.derate)
    traffic = cost.bytes / (profile.peak_bytes_per_s * profile.derate)
    return max(arithmetic, traffic) + cost.kernels * profile.kernel_s + profile.overhead_s


def steps_allowed(cost: Cost, profile: DeviceProfile, *, hours: int | float) -> int:
    """Returns how many steps fit in ``hours`` on the device."""
    return int(hours * 3600 / predict_seconds(cost, profile))


@dataclass(frozen=True)
class Budget:
    """What a task may cost.

    Attributes:
      profile: The device.
      hours: Time for ``steps`` training steps on it.
      steps: Steps that must fit.
      max_mflop: Cap on the FLOPs of a training step, in units of 10^6; None is no cap.
    """

    profile: DeviceProfile
    hours: int | float = 1.0
    steps: int = PROTOCOL_STEPS
    max_mflop: int | float | None = None

    def __post_init__(self):
        for name in ("hours", "max_mflop"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SpecError(name, value, "a positive number")

    def excess(self, cost: Cost) -> list[str]:
        """Returns, in words, every limit that a task goes over; empty if it fits."""
        excess = []
        if self.max_mflop is not None and cost.flops > self.max_mflop * MFLOP:
            excess.append(f"{cost.flops / MFLOP:.3g} MFLOP a step, over {self.max_mflop:g}")
        allowed = steps_allowed(cost, self.profile, hours=self.hours)
        if allowed < self.steps:
            excess.append(
                f"{allowed} steps in {self.hours:g} h on {self.profile.label}, under {self.steps}"
            )
        if cost.memory_bytes > self.profile.memory_bytes:
            excess.append(
                f"{size(cost.memory_bytes)} of memory, over {size(self.profile.memory_bytes)} on "
                f"{self.profile.label}"
            )
        return excess

    def allows(self, cost: Cost) -> bool:
        """Whether a task of that cost fits."""
        return not self.excess(cost)


def fit_budget(spec: TaskSpec, info: Any, budget: Budget) -> TaskSpec:
    """Returns ``spec``, shrunk until it fits.

    The rule: classes that no token of the data can be are dropped first; then, again and again,
    the field that is the largest multiple of its floor (``Family.shrink``; the first of equals)
    is halved, but not below the floor. So a task keeps its proportions.

    Args:
      spec: A spec.
      info: The ``DatasetInfo`` of its data set.
      budget: The budget.

    Raises:
      VelodromeError: Nothing is left to shrink, and the task does still not fit.
    """
    family = spec.family_object
    floors = dict(family.shrink)
    if "vocab_size" in floors and not budget.allows(family.cost(spec, info)):
        reachable = max(info.vocab_size, floors["vocab_size"])
        spec = _with(spec, "vocab_size", min(_value(spec, "vocab_size"), reachable))
    while True:
        excess = budget.excess(family.cost(spec, info))
        if not excess:
            return spec
        field = max(floors, key=lambda name: _value(spec, name) / floors[name])
        value = _value(spec, field)
        if value <= floors[field]:
            raise VelodromeError(
                f"no task of family {spec.family!r} fits: the smallest has {' and '.join(excess)}. "
                "Allow more hours or MFLOP, or name a larger device."
            )
        spec = _with(spec, field, max(floors[field], value // 2))


def _value(spec: TaskSpec, field: str) -> int:
    in_config = field in config_fields(type(spec.config))
    return getattr(spec.config if in_config else spec, field)


def _with(spec: TaskSpec, field: str, value: int) -> TaskSpec:
    if field in config_fields(type(spec.config)):
        config = dataclasses.replace(spec.config, **{field: value})
        return dataclasses.replace(spec, config=config)
    return dataclasses.replace(spec, **{field: value})
