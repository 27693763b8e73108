"""The trials of the NAdamW list: the first ten are here, the thousand in the published file.

Metz et al. 2020 (TaskSet, arXiv 2002.11887) chose the list greedily: each next trial is the one
that helped most, over a thousand tasks, beside those before it. So the order matters, and any
number of trials is the beginning of the list. The figures are from google/learned_optimization
(``optimizers/data/opt_list.json``, Apache-2.0).
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from velodrome.foundation.download import DownloadError, Progress, download
from velodrome.foundation.errors import DataError
from velodrome.foundation.files import atomic_write_bytes, cache_dir, resolved

URL = (
    "https://raw.githubusercontent.com/google/learned_optimization/"
    "96f813512b464447e8512cb2dc25d02aedc0ace5/learned_optimization/optimizers/data/opt_list.json"
)
"""Where the published file is, at a fixed commit."""
SHA256 = "774c4c189a6f75301c16c59dd9433c62f9a5d199c407de9a8df929d4c7702766"
BYTES = 342_540
LENGTH = 1000


@dataclass(frozen=True)
class NAdamWTrial:
    """One trial of the list.

    Attributes:
      epsilon: Added to the root of the second moment.
      l2_weight_decay: Times the parameter, *subtracted* from the gradient.
      warmup_fraction: Above 0: the rate rises linearly, for the larger of this and
        ``constant_fraction`` of the run.
      min_learning_rate_mult: Share of the rate at which the cosine ends.
      constant_fraction: Share of the run after which the cosine begins.
    """

    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    use_nesterov: bool
    adamw_weight_decay: float
    l2_weight_decay: float
    warmup_fraction: float
    min_learning_rate_mult: float
    constant_fraction: float


# fmt: off
FIRST_TEN = (
    NAdamWTrial(
        0.0011948335721160095, 0.9360043452616368, 0.9989497406214962, 5.875814422073298e-06,
        False, 0.010141964334059882, 0.0,
        0.0, 0.0, 0.747304046223346,
    ),
    NAdamWTrial(
        0.4060109803507517, 0.9972408031165986, 0.9868027286692506, 107.85861559302559,
        True, 0.015620239959742821, 0.0,
        2.289161370180122e-05, 0.0, 0.3241485833861578,
    ),
    NAdamWTrial(
        0.0002118527403995637, 0.6229650835415205, 0.9727800493920264, 1.5402357939162808e-07,
        False, 0.05360756231092083, 0.0,
        1.139506043021826e-05, 0.0013864545078620433, 0.2099310299628817,
    ),
    NAdamWTrial(
        0.007531482507067026, 0.6919155876981923, 0.984342979679972, 3.592713026359696e-08,
        False, 0.0003059674479201108, 0.0,
        0.0, 0.0009554387155165385, 0.4224892293642567,
    ),
    NAdamWTrial(
        0.05569700266024712, 0.9742164724896906, 0.999980948972404, 4.2139276965284695,
        False, 0.00022331133037191596, 0.0,
        0.0, 0.0, 0.5209910283942752,
    ),
    NAdamWTrial(
        0.006954992428540949, 0.9941177962325759, 0.9930455329766189, 4.3517153884397565e-07,
        False, 3.142332648519505e-05, 0.0,
        0.0, 0.0, 0.013619134087588858,
    ),
    NAdamWTrial(
        0.020526066283142113, 0.3573051949320971, 0.8604303237563932, 8.87354819497349e-05,
        True, 0.07217167553538734, 0.0,
        0.0, 1.566669185534864e-05, 0.8851679138723282,
    ),
    NAdamWTrial(
        0.0005950867356750683, 0.8912956998774763, 0.9998316947284045, 1.4834761018841103e-07,
        True, 0.04087020908564961, 0.0,
        0.008212683099401206, 0.0, 0.37760078274486286,
    ),
    NAdamWTrial(
        0.005328687277638261, 0.960474459618098, 0.9992247804716405, 8.665059017026017e-08,
        True, 0.005563237041504353, 0.0,
        0.0, 0.0, 0.17233141309625333,
    ),
    NAdamWTrial(
        0.0012415879131444274, 0.9466569269853439, 0.9406663837522827, 8.113630827139477e-08,
        False, 7.25772958596056e-05, 0.0,
        0.0, 0.0010075665692423708, 0.47695142196433893,
    ),
)
# fmt: on
"""The beginning of the list."""


def list_path() -> Path:
    """Return where the published file is kept once it is fetched."""
    return cache_dir() / "reference" / "nadamw-list.json"


def fetch_list(
    source: str | Path | None = None,
    *,
    url: str = URL,
    attempts: int = 5,
    pause_seconds: float = 1.0,
    progress: Progress | None = None,
) -> Path:
    """Fetch the published file, or take it from ``source``, and keep it; return its place.

    Raises:
      DataError: ``source`` cannot be read, or is another file.
      DownloadError: It cannot be fetched, or the server sent another file.
    """
    target = list_path()
    if source is not None:
        atomic_write_bytes(target, _published(resolved(source)))
        return target
    try:
        return download(
            url,
            target,
            size=BYTES,
            sha256=SHA256,
            attempts=attempts,
            pause_seconds=pause_seconds,
            progress=progress,
        )
    except DownloadError as error:
        raise DownloadError(
            f"{error} Or fetch {url} on another machine and give the file with --from FILE."
        ) from error


def load_trials(count: int) -> tuple[NAdamWTrial, ...]:
    """Return the first ``count`` trials, at most ``LENGTH``; up to ten need no file.

    Raises:
      DataError: The file is needed and was not fetched, or has changed since.
    """
    if count <= len(FIRST_TEN):
        return FIRST_TEN[:count]
    if not list_path().is_file():
        raise DataError(
            f"the first {count} trials of the NAdamW list are in a published file that is not "
            "here yet: run `velodrome reference fetch --kind nadamw-list`. The first ten need no "
            "file: nadamw_list:10."
        )
    return read_trials(_published(list_path()))[:count]


def read_trials(data: bytes) -> tuple[NAdamWTrial, ...]:
    """Read trials from JSON: a list of objects with the fields of `NAdamWTrial`.

    Raises:
      DataError: It has another form.
    """
    names = {field.name for field in fields(NAdamWTrial)}
    try:
        rows = json.loads(data)
        return tuple(NAdamWTrial(**_known(row, names)) for row in rows)
    except (ValueError, TypeError) as error:
        raise DataError(f"this is no list of NAdamW's hyperparameters: {error}") from error


def _known(row: dict[str, Any], names: set[str]) -> dict[str, Any]:
    if set(row) != names or not all(map(math.isfinite, row.values())):
        raise ValueError(f"expected numbers for {sorted(names)}, found {str(row):.200}")
    return row


def _published(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise DataError(
            f"{path} is not the published NAdamW list: expected SHA-256 {SHA256}, found {found}. "
            "Give opt_list.json of google/learned_optimization as it is, with `velodrome reference "
            "fetch --kind nadamw-list --from FILE`, or leave --from out to fetch it."
        )
    return data
