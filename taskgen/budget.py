"""The cap: what a device can do, and which tasks can be trained on it in an hour."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from velodrome.foundation.errors import SpecError, UnknownNameError
from velodrome.foundation.files import atomic_write_json, cache_dir, resolved
from velodrome.foundation.text import size
from velodrome.taskgen.cost.sheet import Cost

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
      derate: Fraction of both peaks that training programs are assumed to reach.
      measured: Whether ``velodrome calibrate`` measured the figures, or a data sheet states them.
      source: Where the figures come from.

    Examples:
      >>> velodrome.load_profile("v100").memory_bytes
      16000000000
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
    """Return where ``calibrate`` keeps the profiles of this machine."""
    return cache_dir() / "profiles"


def profile_names() -> list[str]:
    """Return the names of all profiles, built in and calibrated."""
    places = (_BUILT_IN, profiles_dir())
    return sorted({file.stem for place in places for file in place.glob("*.json")})


def load_profile(name: str) -> DeviceProfile:
    """Return the profile of that name, in upper or lower case, or of that JSON file.

    Raises:
      UnknownNameError: There is no such profile.
      SpecError: The file is no profile.

    Examples:
      >>> velodrome.load_profile("h100").label
      'h100 (not measured)'
    """
    # Built-in ones first: a name in a spec's record means one profile on every machine.
    for file in (_BUILT_IN / f"{name.lower()}.json", profiles_dir() / f"{name.lower()}.json"):
        if file.is_file():
            return _read_profile(file)
    if name.endswith(".json") and resolved(name).is_file():
        return _read_profile(resolved(name))
    raise UnknownNameError("device profile", name, profile_names())


def check_profile_name(name: str) -> None:
    """Raise a SpecError for a profile name that is built in or is no file name.

    Sampling would differ between machines, or the file would lie anywhere.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise SpecError("profile.name", name, "letters, digits, and _ - . after the first of them")
    built_in = sorted(file.stem for file in _BUILT_IN.glob("*.json"))
    if name.lower() in built_in:
        raise SpecError("profile.name", name, f"another name than {', '.join(built_in)}")


def save_profile(profile: DeviceProfile) -> Path:
    """Write a profile where `load_profile` finds it by name, and return the path."""
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
    """Return the predicted seconds of a training step, without the optimizer's work.

    The roofline model (Williams et al. 2009): arithmetic or memory traffic bounds a step,
    whichever takes longer; launching its kernels and the step itself adds to that.

    Examples:
      >>> spec = velodrome.sample(1, seed=0, family="mlp", data="built-in")[0]
      >>> velodrome.predict_seconds(velodrome.cost(spec), velodrome.load_profile("v100")) < 0.36
      True
    """
    arithmetic = cost.flops / (profile.peak_flops * profile.derate)
    traffic = cost.bytes / (profile.peak_bytes_per_s * profile.derate)
    return max(arithmetic, traffic) + cost.kernels * profile.kernel_s + profile.overhead_s


def steps_allowed(cost: Cost, profile: DeviceProfile, *, hours: int | float) -> int:
    """Return how many steps fit in ``hours`` on the device.

    Examples:
      >>> spec = velodrome.sample(1, seed=0, family="mlp", data="built-in")[0]
      >>> v100 = velodrome.load_profile("v100")
      >>> velodrome.steps_allowed(velodrome.cost(spec), v100, hours=1) >= 10_000
      True
    """
    return int(hours * 3600 / predict_seconds(cost, profile))


def devices_needed(memory_bytes: int, examples: int, profile: DeviceProfile) -> int | None:
    """Return how many devices have so much memory together and can share examples evenly.

    Parameters, optimizer state and examples are taken to be split evenly, as ``velodrome run
    --devices`` does. None: no number that divides the examples is enough.

    Args:
      examples: Those that go through the network together: a batch, or one of its parts.

    Examples:
      >>> from velodrome.taskgen.budget import devices_needed
      >>> devices_needed(40_000_000_000, 32, velodrome.load_profile("v100"))
      4
    """
    least = max(1, -(-memory_bytes // profile.memory_bytes))
    return next((n for n in range(least, examples + 1) if examples % n == 0), None)


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
                raise SpecError(name, value, "a positive number, and finite")

    def excess(self, cost: Cost, *, examples: int = 0) -> list[str]:
        """Return, in words, every limit that a task exceeds; empty if it fits.

        With ``examples``, which go through the network together, they say how many devices can
        train it together.
        """
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
                f"{self.profile.label}{self._together(cost, examples)}"
            )
        return excess

    def _together(self, cost: Cost, examples: int) -> str:
        """Say how many devices can train a task together; nothing if examples are not known."""
        if not examples:
            return ""
        count = devices_needed(cost.memory_bytes, examples, self.profile)
        if count is None:
            return f"; no number of devices that shares {examples:,} examples evenly has it"
        return f"; {count} of them have it together: `velodrome run --devices {count}`"

    def allows(self, cost: Cost) -> bool:
        return not self.excess(cost)
