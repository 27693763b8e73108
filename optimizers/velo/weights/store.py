"""VeLO weights by name or path: load, save, label, verify. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import MissingWeightsError, UnknownNameError, WeightsError
from velodrome.foundation.files import atomic_path, resolved
from velodrome.optimizers.metacost import MetaTrainingCost, cost_on_card
from velodrome.optimizers.velo.weights import official, safetensors
from velodrome.optimizers.velo.weights.earlier import with_earlier
from velodrome.optimizers.velo.weights.msgpack import parse_official
from velodrome.optimizers.velo.weights.tree import VeLOWeights

OFFICIAL_NAME = "velo"
_BUILT_IN = Path(__file__).parent / "builtin"
_CARD_SCHEMA = 1


@dataclass(frozen=True)
class LoadedWeights:
    """A file of weights, every check passed; all of it comes from one read of the file.

    Attributes:
      weights: The weights, as NumPy arrays.
      label: How results trained with them are labelled: ``VeLO (velo-tiny)`` for a built-in name,
        ``VeLO (official)`` for exactly the file that was fetched from the official place,
        ``VeLO (<file name>)`` for any other file (``VeLO (<directory>/weights.safetensors)`` for
        what `velodrome metatrain` writes, because it always has that name).
      path: The file.
      size: Its bytes.
      sha256: The hash of these bytes.
      content_hash: The hash of the arrays, equal for equal weights in any file.
      card: What the file says about its weights.
      cost: What meta-training them cost, with earlier searches that built-in ones continue; None
        where neither card nor authors say.
    """

    weights: VeLOWeights
    label: str
    path: Path
    size: int
    sha256: str
    content_hash: str
    card: Mapping[str, Any]
    cost: MetaTrainingCost | None

    @property
    def parameters(self) -> int:
        return safetensors.count(self.weights)

    @property
    def most_steps(self) -> int | None:
        """Updates beyond which runs are known to fail, if the card says so."""
        found = self.card.get("most_steps")
        return found if type(found) is int and found > 0 else None


def weights_names() -> list[str]:
    """Return the names that stand for weights: the built-in ones and ``velo``."""
    built_in = (path.stem for path in _BUILT_IN.glob("*.safetensors"))
    return sorted({*built_in, OFFICIAL_NAME})


def load_weights(weights: str | os.PathLike[str] | VeLOWeights = "velo-tiny") -> VeLOWeights:
    """Return the `velodrome.VeLOWeights` that ``weights`` stands for.

    Args:
      weights: A name (``"velo-tiny"`` is built in; ``"velo"`` is the official checkpoint, once
        fetched), the path of an official ``params`` file or of a safetensors file of ours, or
        VeLOWeights, which are returned as they are.

    Raises:
      UnknownNameError: It looks like a name and is none.
      WeightsError: The file is missing, damaged, or holds something else.

    Examples:
      >>> weights = velodrome.load_weights("velo-tiny")
      >>> weights.hidden_size, weights.bank_size
      (32, 16)
    """
    if isinstance(weights, VeLOWeights):
        return weights
    import jax  # noqa: PLC0415 - reading and verifying weights needs no jax

    with jax.ensure_compile_time_eval():  # constants, also where a program is traced
        return VeLOWeights(*map(jax.numpy.asarray, read_weights(weights).weights))


def read_weights(weights: str | os.PathLike[str]) -> LoadedWeights:
    """Read a file of weights once and check it: size, names, shapes, types, finiteness, hashes.

    Args:
      weights: A name or a path.

    Raises:
      UnknownNameError: It looks like a name and is none.
      WeightsError: A check failed; the message says what was expected and what was found.
    """
    path = weights_path(weights)
    if weights == OFFICIAL_NAME and not path.is_file():
        raise MissingWeightsError(
            f"the official VeLO weights are not here yet: expected {path}. Run `velodrome weights "
            "fetch velo` (9.3 MB, needs a network), or use the built-in 'velo-tiny'.",
            advice="velodrome weights fetch velo",
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"cannot read the weights {path}: {error.strerror}. Give a name that `velodrome "
            "weights list` shows, or the path of a weights file."
        ) from error
    sha256 = hashlib.sha256(data).hexdigest()
    if weights == OFFICIAL_NAME:
        _check_official(path, len(data), sha256)
    if safetensors.is_safetensors(data) or path.suffix == ".safetensors":
        loaded, card = safetensors.parse(data, name=str(path))
    else:
        loaded, card = parse_official(data, name=str(path)), {}
    _check_sidecar(path, sha256)
    if weights == OFFICIAL_NAME and official.read_record() is None:
        official.write_record(sha256, origin="placed")
    published, arrays = official.is_official(sha256), safetensors.content_hash(loaded)
    return LoadedWeights(
        weights=loaded,
        label="VeLO (official)" if published else f"VeLO ({_short_name(path)})",
        path=path,
        size=len(data),
        sha256=sha256,
        content_hash=arrays,
        card=card,
        cost=official.OFFICIAL_COST if published else with_earlier(cost_on_card(card), arrays),
    )


def save_weights(
    path: str | os.PathLike[str], weights: VeLOWeights, card: Mapping[str, object] | None = None
) -> Path:
    """Save VeLOWeights as ``path`` (safetensors) and a card beside it (``.json``), atomically.

    Args:
      path: Where to; the suffix becomes ``.safetensors`` if it is another.
      card: What should be known about them: ``name``, ``training``, ``results``, ...;
        ``architecture`` and the hashes are added.

    Returns:
      The path of the safetensors file.

    Raises:
      WeightsError: The weights are not finite or not of VeLO's form.
      VelodromeError: The file cannot be written; nothing is left half-written.

    Examples:
      >>> weights = velodrome.load_weights("velo-tiny")
      >>> path = velodrome.save_weights("mine.safetensors", weights, card={"name": "mine"})
      >>> velodrome.load_weights(path).hidden_size == weights.hidden_size
      True
    """
    target = resolved(path).with_suffix(".safetensors")
    full_card = {
        "name": target.stem,
        **(card or {}),
        "schema": _CARD_SCHEMA,
        "kind": "velodrome-weights",
        "architecture": {
            "optimizer": "VeLO",
            "hidden_size": weights.hidden_size,
            "bank_size": weights.bank_size,
            "parameters": safetensors.count(weights),
        },
        "content_hash": safetensors.content_hash(weights),
    }
    data = safetensors.pack(weights, full_card)
    # Both files are complete on disk before either takes its name.
    with (
        atomic_path(target.with_suffix(".json")) as card_temporary,
        atomic_path(target) as temporary,
    ):
        temporary.write_bytes(data)
        sidecar = {**full_card, "sha256": hashlib.sha256(data).hexdigest()}
        card_temporary.write_text(json.dumps(sidecar, indent=1, allow_nan=False) + "\n")
    return target


def weights_hash(weights: str | os.PathLike[str] | VeLOWeights) -> str:
    """Return the SHA-256 of the arrays, equal for equal weights in any file.

    Raises:
      WeightsError: The file is missing, damaged, or holds something else.
    """
    if isinstance(weights, VeLOWeights):
        return safetensors.content_hash(weights)
    return read_weights(weights).content_hash


def weights_path(weights: str | os.PathLike[str]) -> Path:
    """Return the file of a name or path, which need not exist.

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
    return resolved(text)


def _short_name(path: Path) -> str:
    if path.parent == _BUILT_IN:
        return path.stem
    return f"{path.parent.resolve().name}/{path.name}" if path.stem == "weights" else path.name


def _check_official(path: Path, size: int, sha256: str) -> None:
    """Refuse an official checkpoint of another size, or changed since its first use."""
    if size != official.OFFICIAL_BYTES:
        raise WeightsError(
            f"{path} is not the official checkpoint: expected {official.OFFICIAL_BYTES:,} bytes, "
            f"found {size:,}. Delete it and run `velodrome weights fetch velo`."
        )
    official.refuse_change(sha256, where=str(path))


def _check_sidecar(path: Path, sha256: str) -> None:
    """Refuse a safetensors file whose card beside it was written for another file."""
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
    if expected != sha256:
        raise WeightsError(
            f"{path} is not the file its card {sidecar.name} was written for: expected SHA-256 "
            f"{expected}, found {sha256}. Get both files again."
        )
