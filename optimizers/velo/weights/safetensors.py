"""Our own file of VeLO weights: safetensors, with the card in its metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from velodrome.foundation.errors import WeightsError
from velodrome.optimizers.velo.weights.msgpack import describe_problems
from velodrome.optimizers.velo.weights.tree import VeLOWeights, weight_shapes

_CARD_KEY = "velodrome"


def is_safetensors(data: bytes) -> bool:
    """Return whether ``data`` begins as a safetensors file does: 8 bytes of length, then JSON."""
    return data[8:9] == b"{"


def pack(weights: VeLOWeights, card: Mapping[str, object]) -> bytes:
    """Return the bytes of a file with ``weights`` and their card.

    Raises:
      WeightsError: The weights are not finite or their shapes do not fit together.
    """
    arrays = _arrays(weights)
    _check(arrays, "the weights to save")
    return save(arrays, metadata={_CARD_KEY: json.dumps(card, sort_keys=True, allow_nan=False)})


def parse(data: bytes, *, name: str) -> tuple[VeLOWeights, dict[str, Any]]:
    """Return the weights and the card in the bytes of a file; errors call it ``name``.

    Raises:
      WeightsError: The bytes are damaged or hold something else; the message says what was
        expected and what was found.
    """
    try:
        arrays = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        card = json.loads(header.get("__metadata__", {}).get(_CARD_KEY, "{}"))
    except (SafetensorError, ValueError) as error:
        raise WeightsError(
            f"{name} is damaged: expected a whole safetensors file, found {len(data):,} bytes "
            f"that do not parse ({error}). Get the file again."
        ) from error
    _check(arrays, name)
    weights = VeLOWeights.of(arrays)
    expected, found = card.get("content_hash"), content_hash(weights)
    if expected not in (None, found):
        raise WeightsError(
            f"{name} is damaged: its card expects arrays with the hash {expected}, found {found}. "
            "Get the file again."
        )
    return weights, card


def content_hash(weights: VeLOWeights) -> str:
    """Return the SHA-256 of names, shapes and little-endian bytes of all arrays.

    It does not depend on the file that the weights were read from.
    """
    return hash_of_arrays(_arrays(weights))


def hash_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the hash of named arrays; see `content_hash`."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(array.astype("<f4").tobytes())
    return digest.hexdigest()


def count(weights: VeLOWeights) -> int:
    """Return the number of floats in use."""
    return sum(array.size for array in _arrays(weights).values())


def _arrays(weights: VeLOWeights) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(array) for name, array in weights._asdict().items()}


def _check(arrays: Mapping[str, np.ndarray], name: str) -> None:
    """Check names, shapes, types and finiteness; the message lists what differs."""
    controls = arrays.get("controls_b")
    initial = arrays.get("initial_hidden")
    if controls is None or controls.ndim != 1 or initial is None or initial.ndim != 1:
        found = ", ".join(sorted(arrays)[:5]) or "none"
        raise WeightsError(
            f"{name} does not hold VeLO weights: expected arrays such as 'initial_hidden' (hidden "
            f"size) and 'controls_b' (bank size), found {found}."
        )
    shapes = weight_shapes(initial.size, controls.size)
    if problems := describe_problems(shapes, arrays):
        raise WeightsError(
            f"{name} does not hold VeLO weights of LSTM {initial.size} and bank {controls.size}: "
            f"{problems}. Get the weights again, or from another place."
        )
