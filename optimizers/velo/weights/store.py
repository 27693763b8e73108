"""VeLO weights by name or path: load, save, label, hash, verify. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import UnknownNameError, WeightsError
from velodrome.foundation.files import atomic_path, sha256_file
from velodrome.optimizers.metacost import MetaTrainingCost, cost_on_card
from velodrome.optimizers.velo.weights import official
from velodrome.optimizers.velo.weights import safetensors as weightfile
from velodrome.optimizers.velo.weights.msgpack import parse_official
from velodrome.optimizers.velo.weights.tree import VeLOWeights

OFFICIAL_NAME = "velo"
_BUILT_IN = Path(__file__).parent / "builtin"
_CARD_SCHEMA = 1


@dataclass(frozen=True)
class WeightsReport:
    """What :func:`verify` found out about a file of weights, every check having passed."""

    label: str
    path: Path
    size: int
    sha256: str
    content_hash: str
    hidden_size: int
    bank_size: int
    parameters: int
    card: dict[str, Any]


def weights_names() -> list[str]:
    """Returns the names that stand for weights: the built-in ones and ``velo``."""
    built_in = (path.stem for path in _BUILT_IN.glob("*.safetensors"))
    return sorted({*built_in, OFFICIAL_NAME})


def load_weights(weights: str | os.PathLike[str] | VeLOWeights = "velo-tiny") -> VeLOWeights:
    """Returns the :class:`~velodrome.optimizers.velo.weights.tree.VeLOWeights` that ``weights`` stands for.

    Args:
      weights: A name (``"velo-tiny"`` is built in; ``"velo"`` is the official checkpoint, once
        fetched), the path of an official ``params`` file or of a safetensors file of ours, or
        VeLOWeights, which are returned as they are.

    Raises:
      UnknownNameError: It looks like a name and is none.
      WeightsError: The file is missing, damaged, or holds something else.
    """
    if isinstance(weights, VeLOWeights):
        return weights
    return _read(weights).weights


def save_weights(
    path: str | os.PathLike[str], weights: VeLOWeights, card: Mapping[str, Any] | None = None
) -> Path:
    """Saves VeLOWeights as ``path`` (safetensors) and a card beside it (``.json``), atomically.

    Args:
      path: Where to; the suffix becomes ``.safetensors`` if it is another.
      weights: The VeLOWeights.
      card: What should be known about them: ``name``, ``training``, ``results``, ...;
        ``architecture`` and the hashes are added.

    Returns:
      The path of the safetensors file.

    Raises:
      WeightsError: The weights are not finite or not of VeLO's form.
      VelodromeError: The file cannot be written; nothing is left half-written.
    """
    target = Path(path).with_suffix(".safetensors")
    full_card = {
        "name": target.stem,
        **(card or {}),
        "schema": _CARD_SCHEMA,
        "kind": "velodrome-weights",
        "architecture": {
            "optimizer": "VeLO",
            "hidden_size": weights.hidden_size,
            "bank_size": weights.bank_size,
            "parameters": weightfile.count(weights),
        },
        "content_hash": weightfile.content_hash(weights),
    }
    data = weightfile.pack(weights, full_card)
    # Both files are complete on disk before either takes its name.
    with (
        atomic_path(target.with_suffix(".json")) as card_temporary,
        atomic_path(target) as temporary,
    ):
        temporary.write_bytes(data)
        sidecar = {**full_card, "sha256": hashlib.sha256(data).hexdigest()}
        card_temporary.write_text(json.dumps(sidecar, indent=1, allow_nan=False) + "\n")
    return target


def weights_label(weights: str | os.PathLike[str] | VeLOWeights) -> str:
    """Returns how results trained with these weights are labelled.

    ``VeLO (velo-tiny)`` for a built-in name, ``VeLO (official)`` for the very file that was
    fetched from the official place and for no other, ``VeLO (<file name>)`` for any other file
    (``VeLO (<directory>/weights.safetensors)`` for what `velodrome metatrain` wrote, which is
    always called so), and ``VeLO (weights <hash>)`` for weights made in Python.
    """
    if isinstance(weights, VeLOWeights):
        return f"VeLO (weights {weights_hash(weights)[:8]})"
    path = weights_path(weights)
    if path.parent == _BUILT_IN:
        return f"VeLO ({path.stem})"
    if _is_official(path):
        return "VeLO (official)"
    name = f"{path.parent.resolve().name}/{path.name}" if path.stem == "weights" else path.name
    return f"VeLO ({name})"


def weights_hash(weights: str | os.PathLike[str] | VeLOWeights) -> str:
    """Returns the SHA-256 of the arrays, the same for the same weights in whatever file.

    Raises:
      WeightsError: The file is missing, damaged, or holds something else.
    """
    return weightfile.content_hash(load_weights(weights))


def meta_training_cost(weights: str | os.PathLike[str] | VeLOWeights) -> MetaTrainingCost | None:
    """Returns what meta-training these weights cost; None where neither card nor authors say.

    Raises:
      WeightsError: The file is missing, damaged, or holds something else.
    """
    if isinstance(weights, VeLOWeights):
        return None
    file = _read(weights)
    return official.OFFICIAL_COST if _is_official(file.path) else cost_on_card(file.card)


def verify(weights: str | os.PathLike[str]) -> WeightsReport:
    """Reads a file of weights and checks it: size, names, shapes, types, finiteness, hashes.

    Args:
      weights: A name or a path.

    Raises:
      UnknownNameError: It looks like a name and is none.
      WeightsError: A check failed; the message says what was expected and what was found.
    """
    file = _read(weights)
    return WeightsReport(
        label=weights_label(weights),
        path=file.path,
        size=file.path.stat().st_size,
        sha256=sha256_file(file.path),
        content_hash=weightfile.content_hash(file.weights),
        hidden_size=file.weights.hidden_size,
        bank_size=file.weights.bank_size,
        parameters=weightfile.count(file.weights),
        card=file.card,
    )


def weights_path(weights: str | os.PathLike[str]) -> Path:
    """Returns the file that a name or path stands for, without looking into it.

    Raises:
      UnknownNameError: It looks like a name and is none.
    """
    if weights == OFFICIAL_NAME:
        return official.official_path()
    built_in = _BUILT_IN / f"{weights}.safetensors"
    text = os.fspath(weights)
    is_name = isinstance(weights, str) and Path(text).name == text and not Path(text).suffix
    if is_name and built_in.is_file():
        return built_in
    if is_name and not Path(text).exists():
        raise UnknownNameError("weights file or set of weights", text, weights_names())
    return Path(text).expanduser()


def read_file(path: Path) -> tuple[VeLOWeights, dict[str, Any]]:
    """Returns the weights in a file of either format, checked, and their card if there is one.

    Raises:
      WeightsError: The file is missing, damaged, or holds something else; the message says what
        was expected and what was found.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"cannot read the weights {path}: {error.strerror}. Give a name that `velodrome "
            "weights list` shows, or the path of a weights file."
        ) from error
    if weightfile.is_safetensors(data) or path.suffix == ".safetensors":
        return weightfile.parse(data, name=str(path))
    return parse_official(data, name=str(path)), {}


@dataclass(frozen=True)
class _File:
    path: Path
    weights: VeLOWeights
    card: dict[str, Any]


def _read(weights: str | os.PathLike[str]) -> _File:
    path = weights_path(weights)
    if weights == OFFICIAL_NAME:
        _check_official(path)
    loaded, card = read_file(path)
    _check_sidecar(path)
    if weights == OFFICIAL_NAME and official.read_record() is None:
        official.write_record(sha256_file(path), origin="placed")
    return _File(path, loaded, card)


def _is_official(path: Path) -> bool:
    return path.is_file() and official.is_official(path)


def _check_official(path: Path) -> None:
    """Refuses an official checkpoint that is absent, of another size, or changed since."""
    if not path.is_file():
        raise WeightsError(
            f"the official VeLO weights are not here yet: expected {path}. Run `velodrome weights "
            "fetch velo` (9.3 MB, needs a network), or use the built-in 'velo-tiny'."
        )
    size = path.stat().st_size
    if size != official.OFFICIAL_BYTES:
        raise WeightsError(
            f"{path} is not the official checkpoint: expected {official.OFFICIAL_BYTES:,} bytes, "
            f"found {size:,}. Delete it and run `velodrome weights fetch velo`."
        )
    official.refuse_change(sha256_file(path), where=str(path))


def _check_sidecar(path: Path) -> None:
    """Refuses a safetensors file whose card beside it was written for another file."""
    sidecar = path.with_suffix(".json")
    if path.suffix != ".safetensors" or not sidecar.is_file():
        return
    try:
        expected = json.loads(sidecar.read_text())["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{sidecar} is damaged: expected a JSON card with the field 'sha256' ({error!r}). "
            f"Get it again, or delete it; {path.name} holds the same card."
        ) from error
    found = sha256_file(path)
    if expected != found:
        raise WeightsError(
            f"{path} is not the file its card {sidecar.name} was written for: expected SHA-256 "
            f"{expected}, found {found}. Get both files again."
        )
