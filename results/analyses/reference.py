"""Published envelopes of tuned baselines: fetching, keeping and reading them.

google/learned_optimization publishes, for each of its fixed tasks, the lowest smoothed train loss
that any run of a sweep had reached by each step (Metz et al. 2022, arXiv 2211.09760): losses of
5 batches every 10 steps, averaged over 5 seeds, through a moving average of 0.95 that starts at
the first loss, then the minimum over 15 learning rates and the running minimum. There are two
kinds, in files that do not say which they are: Adam at a constant rate alone, and the lowest of
four optimizers, which is no tuned Adam.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from velodrome.foundation.download import DownloadError, Progress, download_part, state_path
from velodrome.foundation.errors import DataError, SpecError
from velodrome.foundation.files import (
    atomic_write_bytes,
    atomic_write_json,
    cache_dir,
    resolved,
    sha256_file,
)
from velodrome.results.speedup.envelope import steps_to_loss

ADAM = "adam"
FOUR = "four-optimizers"
WORDS = {
    ADAM: "Adam at a constant rate",
    FOUR: "the best of four optimizers (Adam at a constant rate and with two schedules, RAdam)",
}
"""The kinds of envelopes, in words."""

_BASE = "https://raw.githubusercontent.com/google/learned_optimization"
_FOLDER = "learned_optimization/baselines/data"
URLS = {
    ADAM: f"{_BASE}/12d3356019877413beae3b302b0845f623d2c492/{_FOLDER}/speedup_over_adam.json",
    FOUR: f"{_BASE}/5152e58cd09234c8a25215c451596c7335528ca4/{_FOLDER}/"
    "speedup_over_multiple_baselines.json",
}
"""Where each kind comes from, at a fixed commit."""

ANCHORS = {
    "Conv_Cifar100_32x64x64": {ADAM: 0.692645, FOUR: 0.610774},
    "Conv_Cifar10_32x64x64": {ADAM: 0.00223008, FOUR: 0.000114904},
    "RNNLM_lm1bbytes_Patch32_LSTM128_Embed64": {ADAM: 1.38147, FOUR: 1.3741},
}
"""Published losses after 100,000 steps by which the kinds are recognised."""
_ANCHOR_STEP = 100_000
_ANCHOR_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Envelope:
    """The envelope of one task.

    Attributes:
      steps: Training steps, ascending from 0.
      losses: Lowest smoothed train loss by then, never rising.
    """

    steps: Float[np.ndarray, " point"]
    losses: Float[np.ndarray, " point"]

    def steps_to(self, losses: Float[np.ndarray, " loss"]) -> Float[np.ndarray, " loss"]:
        """Return the first step at which each loss is reached; +inf where it never is."""
        return steps_to_loss(self.steps, self.losses, losses)


@dataclass(frozen=True)
class Reference:
    """Published envelopes by task.

    Attributes:
      kind: ``"adam"`` or ``"four-optimizers"``.
      origin: Where the file came from; it also says if nothing but the user's word gives the kind.
      sha256: Hash of the file.
      envelopes: Envelopes, by published name of the task.
    """

    kind: str
    origin: str
    sha256: str
    envelopes: Mapping[str, Envelope]


def reference_path(kind: str) -> Path:
    """Return where the envelopes of a kind are kept."""
    return cache_dir() / "reference" / f"{kind}.json"


def fetch_reference(
    kind: str = ADAM,
    *,
    source: str | Path | None = None,
    url: str | None = None,
    unverified: bool = False,
    attempts: int = 5,
    pause_seconds: float = 1.0,
    progress: Progress | None = None,
) -> Reference:
    """Fetch published envelopes, or take them from a file, and keep them in the cache.

    Args:
      source: A file to take instead; JSON, or JSON in gzip.
      url: Where to fetch from; by default the published address.
      unverified: Whether to take a file whose numbers do not show its kind.
      attempts: How often a dropped connection is resumed.
      pause_seconds: Wait before the second attempt; doubled for each one after it.
      progress: Called with (bytes so far, bytes in all).

    Raises:
      SpecError: There is no such kind, or the file is of the other one.
      DataError: The file is not of the published form, does not show its kind, or has less than
        what is kept already.
      DownloadError: It cannot be fetched.
    """
    if kind not in WORDS:
        raise SpecError("reference kind", kind, "one of " + ", ".join(map(repr, WORDS)))
    target = reference_path(kind)
    if source is not None:
        file, origin = resolved(source), str(source)
    else:
        origin = url or URLS[kind]
        file = target.with_name(f"{target.name}.part")
        _download(origin, file, attempts, pause_seconds, progress)
    try:
        envelopes = read_envelopes(file)
        found = kind_of(envelopes)
        if found not in (None, kind):
            allowed = f"{found!r}: by its numbers, that is what {origin} has"
            raise SpecError("reference kind", kind, allowed)
        if found is None and not unverified:
            raise DataError(
                f"nothing shows whether {origin} is of {WORDS[kind]}: the kinds are recognised by "
                f"the losses of {', '.join(ANCHORS)} after 100,000 steps, and it has none that is "
                "known. To take it nevertheless, give --unverified."
            )
        _refuse_loss(kind, origin, envelopes)
        data = file.read_bytes()
    finally:
        if source is None:
            file.unlink(missing_ok=True)
            state_path(file).unlink(missing_ok=True)
    atomic_write_bytes(target, data)
    record = {
        "kind": kind,
        "verified": found is not None,
        "origin": origin,
        "sha256": sha256_file(target),
        "tasks": len(envelopes),
    }
    atomic_write_json(_record_path(target), record)
    return _reference(kind, origin, sha256_file(target), envelopes)


def load_reference(kind: str = ADAM) -> Reference | None:
    """Return the envelopes that were fetched before; None if there are none.

    Raises:
      DataError: The cache is damaged.

    Examples:
      >>> velodrome.load_reference() is None  # before `velodrome reference fetch`
      True
    """
    path = reference_path(kind)
    if not path.is_file():
        return None
    try:
        record = json.loads(_record_path(path).read_text())
        origin, sha256 = str(record["origin"]), str(record["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{_record_path(path)} is missing or damaged ({error}); run `velodrome reference "
            "fetch` again."
        ) from error
    if sha256_file(path) != sha256:
        raise DataError(
            f"{path} has changed since it was fetched; run `velodrome reference fetch` again."
        )
    return _reference(kind, origin, sha256, read_envelopes(path))


def read_envelopes(path: str | Path) -> dict[str, Envelope]:
    """Read a published file: ``{task: [[steps], [losses]]}`` as JSON, or that in gzip.

    Raises:
      DataError: The file is not of that form; the message names the task.
    """
    file = resolved(path)
    try:
        data = file.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        content = json.loads(data)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(
            f"{file} cannot be read as JSON ({error}); give the file speedup_over_adam.json of "
            "google/learned_optimization, as it is or in gzip, with --from FILE."
        ) from error
    if not isinstance(content, dict) or not content:
        raise DataError(f"{file} has no envelopes: expected an object of tasks.")
    return {str(task): _envelope(f"{file}: {task}", value) for task, value in content.items()}


def _envelope(where: str, value: object) -> Envelope:
    if not isinstance(value, list) or len(value) != 2:
        raise DataError(f"{where} is not [[steps], [losses]].")
    try:
        steps, losses = (np.asarray(part, np.float64) for part in value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} is not [[steps], [losses]] ({error}).") from error
    problem = ""
    if steps.ndim != 1 or steps.shape != losses.shape or len(steps) < 2:
        problem = f"has {steps.shape} steps and {losses.shape} losses"
    elif not np.isfinite(steps).all() or steps[0] != 0 or (np.diff(steps) <= 0).any():
        problem = "has steps that do not ascend from 0"
    elif not np.isfinite(losses).all() or (np.diff(losses) > 0).any():
        problem = "has losses that rise or are not finite: it is no envelope"
    if problem:
        raise DataError(f"{where} {problem}.")
    return Envelope(steps, losses)


def kind_of(envelopes: Mapping[str, Envelope]) -> str | None:
    """Recognise the kind by the published values of a few tasks; None if none has a known one."""
    for task, values in ANCHORS.items():
        envelope = envelopes.get(task)
        if envelope is None or envelope.steps[-1] < _ANCHOR_STEP:
            continue
        loss = float(np.interp(_ANCHOR_STEP, envelope.steps, envelope.losses))
        for kind, anchor in values.items():
            if abs(loss / anchor - 1) < _ANCHOR_TOLERANCE:
                return kind
    return None


def _reference(kind: str, origin: str, sha256: str, envelopes: Mapping[str, Envelope]) -> Reference:
    if kind_of(envelopes) is None:
        # Whatever says where the numbers are from, as the report does, says this with it.
        origin += ", whose numbers do not tell its kind"
    return Reference(kind, origin, sha256, envelopes)


def _download(
    url: str, file: Path, attempts: int, pause_seconds: float, progress: Progress | None
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        download_part(url, file, attempts=attempts, pause_seconds=pause_seconds, progress=progress)
    except DownloadError as error:
        raise DownloadError(
            f"{error} Run the command again with a network; or fetch {url} on another machine and "
            "give the file with --from FILE."
        ) from error


def _refuse_loss(kind: str, origin: str, envelopes: Mapping[str, Envelope]) -> None:
    """Raise a DataError if a task that is kept would be lost, or would end earlier."""
    try:
        kept = load_reference(kind)
    except DataError:
        kept = None  # a damaged file may be replaced
    if kept is None:
        return
    lost = [
        task
        for task, envelope in kept.envelopes.items()
        if task not in envelopes or envelopes[task].steps[-1] < envelope.steps[-1]
    ]
    if lost:
        raise DataError(
            f"{origin} lacks, or ends earlier on, {len(lost)} of the {len(kept.envelopes)} tasks "
            f"kept from {kept.origin}, such as {lost[0]}. To replace these, delete "
            f"{reference_path(kind)} first."
        )


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}.record.json")
