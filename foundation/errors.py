"""The errors users see: each message says what is wrong and what to do about it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable


def wants_traceback() -> bool:
    """Return whether the user wants to see where an error comes from."""
    return os.environ.get("VELODROME_TRACEBACK", "0") not in ("", "0")


class VelodromeError(Exception):
    """Base of every error that velodrome raises on purpose.

    Examples:
      >>> try:
      ...     velodrome.load_suite("dmeo")
      ... except velodrome.VelodromeError as error:
      ...     print(error)
      there is no suite named 'dmeo'. Did you mean 'demo'?
    """


class SpecError(VelodromeError, ValueError):
    """A field of a spec or configuration has a value that it may not have.

    Args:
      field: Dotted name of the field, such as ``"config.hidden_size"``.
      allowed: What would be accepted, such as ``"an integer from 1 to 65536"``.

    Examples:
      >>> try:
      ...     velodrome.TaskSpec("mlp", {"num_layers": -1}, velodrome.DataSpec("digits"), 32)
      ... except velodrome.SpecError as error:
      ...     print(error)
      config.num_layers: got -1, but it must be an integer from 0 to 64.
    """

    def __init__(self, field: str, value: object, allowed: str):
        stop = "" if allowed.endswith("?") else "."
        super().__init__(f"{field}: got {value!r}, but it must be {allowed}{stop}")
        self.field = field
        self.value = value
        self.allowed = allowed


#: Names of at least this many letters are also looked for inside the known ones.
_PART = 3

#: A message lists at most this many names, and counts the others.
_MOST_NAMES = 12

#: Kind -> the command that shows all names.
_LISTS = {
    "family": "velodrome list families",
    "data set": "velodrome list datasets",
    "optimizer": "velodrome list optimizers",
    "suite": "velodrome list suites",
    "part of a suite": "velodrome list suites",
    "task, file of tasks, or suite": "velodrome list tasks",
    "weights file or set of weights": "velodrome weights list",
}


#: Kind -> how one of the user's own is named.
_OWN = {"optimizer": " One of your own is path/to/file.py:NAME."}


def unknown_key(field: str, key: object, known: Iterable[str], what: str = "keys") -> SpecError:
    """Return the error for a key that the mapping ``field`` may not have, with the closest one.

    ``what`` names the kind of key in the plural, such as ``"fields"``.
    """
    names = list(known)
    close = difflib.get_close_matches(str(key), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return SpecError(field, key, f"one of the {what} {', '.join(names)}{hint}")


class UnknownNameError(VelodromeError, LookupError):
    """A name that no registry knows; the message gives the closest known names.

    Args:
      kind: What was looked up, such as ``"optimizer"``.
      known: All names that would have been found.

    Examples:
      >>> try:
      ...     velodrome.datasets.get("digit")
      ... except velodrome.UnknownNameError as error:
      ...     print(error)
      there is no data set named 'digit'. Did you mean 'digits'?
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if not close and len(name) >= _PART:
            close = [longer for longer in names if name.lower() in longer.lower()][:3]
        if close:
            hint = f"Did you mean {' or '.join(repr(match) for match in close)}?"
        elif names:
            hint = f"Known: {', '.join(names[:_MOST_NAMES])}"
            if len(names) > _MOST_NAMES:
                hint += f" and {len(names) - _MOST_NAMES} more"
                command = _LISTS.get(kind.partition(" (")[0])
                hint += f"; see `{command}`" if command else ""
            hint += "."
        else:
            hint = "None is registered."
        own = _OWN.get(kind, "")
        super().__init__(f"there is no {kind} named {name!r}. {hint}{own}")
        self.kind = kind
        self.name = name


def which_object(path: str) -> VelodromeError:
    """Return the error for a Python file that is named without an object in it."""
    return VelodromeError(f"{path} is a Python file: say which object in it, as in {path}:NAME.")


class WriteError(VelodromeError):
    """A file cannot be written, because permission or room is missing.

    Examples:
      >>> issubclass(velodrome.WriteError, velodrome.VelodromeError)
      True
    """


class DataError(VelodromeError):
    """A data set is missing, damaged, or not the one asked for.

    Examples:
      >>> try:
      ...     velodrome.datasets.get("cifar10").load("train")
      ... except velodrome.DataError as error:
      ...     print("velodrome data prepare" in str(error))
      True
    """


class WeightsError(VelodromeError):
    """A file of weights is missing, damaged, or not of the expected form.

    Examples:
      >>> try:
      ...     velodrome.load_weights("nowhere.safetensors")
      ... except velodrome.WeightsError as error:
      ...     print("nowhere.safetensors" in str(error))
      True
    """


class MissingWeightsError(WeightsError):
    """Weights that have a name are not here yet.

    Args:
      advice: The command that fetches them.
    """

    def __init__(self, message: str, advice: str):
        super().__init__(message)
        self.advice = advice


class StoreError(VelodromeError):
    """A result store cannot be opened, or would mix results that must not mix.

    Examples:
      >>> try:
      ...     velodrome.Store.open("nowhere")
      ... except velodrome.StoreError as error:
      ...     print("nowhere" in str(error))
      True
    """


class PlanError(VelodromeError):
    """A suite cannot be planned or run as asked.

    Examples:
      >>> issubclass(velodrome.PlanError, velodrome.VelodromeError)
      True
    """
