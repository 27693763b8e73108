"""The original's checkpoint file: flax msgpack, parsed as data and never unpickled.

The file is ``{params: tree, gen_id: str, step: int}`` (or the bare tree, as others re-host it);
an array in it is msgpack extension 1, itself the msgpack of ``(shape, dtype name, bytes)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

import msgpack
import numpy as np

from velodrome.foundation.errors import WeightsError
from velodrome.optimizers.velo.weights.tree import (
    BANK,
    INPUT_GROUPS,
    LAYERS,
    WIDTH,
    VeLOWeights,
    weight_shapes,
)

_ARRAY = 1
_GROUPS = ("ff_mod_stack", "lstm_init_state", "rnn_params")
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_PROBLEMS_SHOWN = 5

_Names = tuple[str, ...]
Name = TypeVar("Name", bound=Hashable)


def parse_official(data: bytes, *, name: str) -> VeLOWeights:
    """Return the weights in the bytes of a checkpoint file; errors call it ``name``.

    The LSTM and the bank may have any size; every name, shape and type must fit them, and every
    number must be finite.

    Raises:
      WeightsError: The bytes are damaged or hold something else; the message says what was
        expected and what was found.
    """
    if data[:2] in _PICKLE_STARTS:
        raise WeightsError(
            f"{name} is a pickle, which is never opened because it can run any program: expected "
            "VeLO's file 'params' (flax msgpack) or a safetensors file."
        )
    try:
        content = msgpack.unpackb(data, ext_hook=_array, strict_map_key=True)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WeightsError(
            f"{name} is damaged or no checkpoint: expected flax msgpack (the official file has "
            f"9,282,564 bytes), found {len(data):,} bytes that do not parse "
            f"({error or type(error).__name__}). Get the file again; weights of our own end in "
            ".safetensors."
        ) from error
    tree = content.get("params", content) if isinstance(content, dict) else None
    if not isinstance(tree, dict) or sorted(tree) != list(_GROUPS):
        shown = tree if isinstance(tree, dict) else content
        found = sorted(shown) if isinstance(shown, dict) else f"a {type(shown).__name__}"
        raise WeightsError(
            f"{name} holds no VeLO weights: expected the groups {', '.join(_GROUPS)} at its top "
            f"or under 'params', found {found!s:.200}."
        )
    _check(dict(_leaves(tree)), name)
    return VeLOWeights.from_official(tree)


def official_shapes(hidden: int, bank: int) -> dict[_Names, tuple[int, ...]]:
    """Return the names from the root and the shape of every array in a checkpoint's tree."""
    ours = weight_shapes(hidden, bank)
    # The file has one more layer, of the shape of "pool", which is never used.
    layers = [*LAYERS.items(), ("pool", "linear")]
    return {
        **{("ff_mod_stack", "~", f"w0__{i}"): (bank, n, WIDTH) for i, n in enumerate(INPUT_GROUPS)},
        **{("ff_mod_stack", "~", name): ours[f"bank_{name}"] for name in BANK},
        **{("lstm_init_state", name): (1, hidden) for name in ("hidden", "cell")},
        **{
            ("rnn_params", name, kind): ours[f"{layer}_{kind}"]
            for layer, name in layers
            for kind in "wb"
        },
    }


def describe_problems(
    expected: Mapping[Name, tuple[int, ...]],
    found: Mapping[Name, object],
    *,
    title: Callable[[Name], str] = str,
) -> str:
    """Compare named arrays with the shapes they must have: float32, finite, none else.

    Returns:
      What was expected and what was found, for the first few differences; empty if there is none.
    """
    problems = [
        f"{title(key)}: expected nothing, found something" for key in found.keys() - expected.keys()
    ]
    for key, shape in expected.items():
        array = found.get(key)
        if not isinstance(array, np.ndarray):
            what = "nothing" if array is None else f"a {type(array).__name__}"
            problems.append(f"{title(key)}: expected an array, found {what}")
        elif array.dtype != np.float32:
            problems.append(f"{title(key)}: expected float32, found {array.dtype}")
        elif array.shape != shape:
            problems.append(f"{title(key)}: expected shape {shape}, found {array.shape}")
        elif not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).sum())
            problems.append(f"{title(key)}: expected finite numbers, found {bad} that are not")
    more = "; ..." if len(problems) > _PROBLEMS_SHOWN else ""
    return "; ".join(sorted(problems)[:_PROBLEMS_SHOWN]) + more


def _check(found: Mapping[_Names, Any], name: str) -> None:
    # Two arrays give the sizes; all others must agree with them.
    sizes = [("lstm_init_state", "hidden"), ("rnn_params", "rnn_to_controls", "b")]
    for key in sizes:
        if not isinstance(found.get(key), np.ndarray) or not found[key].ndim:
            raise WeightsError(
                f"{name} holds no VeLO weights: expected an array at {' > '.join(key)}, found "
                f"{type(found[key]).__name__ if key in found else 'nothing'}."
            )
    hidden, bank = (found[key].shape[-1] for key in sizes)
    if problems := describe_problems(official_shapes(hidden, bank), found, title=" > ".join):
        raise WeightsError(
            f"{name} holds no VeLO weights of LSTM {hidden} and bank {bank}: {problems}. Get the "
            "file again, or from another place."
        )


def _leaves(tree: Mapping[str, object], path: _Names = ()) -> Iterator[tuple[_Names, object]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _array(code: int, payload: bytes) -> np.ndarray:
    """Make an array of a msgpack extension value; only plain numbers are accepted."""
    if code != _ARRAY:
        raise ValueError(f"found extension {code}, where arrays have {_ARRAY}")
    shape, dtype, data = msgpack.unpackb(payload)
    numbers = np.dtype(dtype)
    if numbers.kind not in "fiub":
        raise ValueError(f"found an array of type {dtype!r}, which are not numbers")
    if len(data) != numbers.itemsize * math.prod(shape):
        raise ValueError(f"found {len(data)} bytes for an array of shape {tuple(shape)}")
    return np.frombuffer(data, numbers.newbyteorder("<")).reshape(shape)
