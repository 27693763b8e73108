"""The original's checkpoint file: flax msgpack, parsed as data and never unpickled.

The file is ``{params: tree, gen_id: str, step: int}`` (or the bare tree, as others re-host it);
an array in it is msgpack extension 1, itself the msgpack of ``(shape, dtype name, bytes)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import msgpack
import numpy as np

from velodrome.foundation.errors import WeightsError
from velodrome.optimizers.velo.weights.tree import (
    BANK,
    INPUT_GROUPS,
    LAYERS,
    LSTM_INPUTS,
    WIDTH,
    VeLOWeights,
    weight_shapes,
)

_ARRAY = 1
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_PROBLEMS_SHOWN = 5

#: Where an array is in a checkpoint: the names from the root.
Names: TypeAlias = tuple[str, ...]

Shapes: TypeAlias = dict[Names, tuple[int, ...]]

Arrays: TypeAlias = dict[Names, np.ndarray]

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Layout:
    """The arrays in a checkpoint of one kind of optimizer.

    Args:
      title: The kind, such as ``"VeLO"``.
      expected: What its files are, for messages.
      sizes: What is free, such as ``"LSTM"``: the last dimension of which array it is.
      shapes: Return the names and shapes of all arrays, for these sizes.
    """

    title: str
    expected: str
    sizes: Mapping[str, Names]
    shapes: Callable[..., Shapes]

    @property
    def groups(self) -> list[str]:
        """The names at the root."""
        return sorted({names[0] for names in self.shapes(*(1 for _ in self.sizes))})


def parse_official(data: bytes, *, name: str) -> VeLOWeights:
    """Return the weights in the bytes of a checkpoint file; errors call it ``name``.

    The LSTM and the bank may have any size; every name, shape and type must fit them, and every
    number must be finite.

    Raises:
      WeightsError: The bytes are damaged or hold something else; the message says what was
        expected and what was found.
    """
    return VeLOWeights.from_official(parse_arrays(data, VELO, name=name))


def parse_arrays(data: bytes, layout: Layout, *, name: str) -> Arrays:
    """Return the arrays of a checkpoint of any kind; see `parse_official`.

    Raises:
      WeightsError: The bytes are damaged or hold something else.
    """
    content = unpack(data, name=name, expected=layout.expected)
    tree = content.get("params", content) if isinstance(content, dict) else None
    title, groups = layout.title, layout.groups
    if not isinstance(tree, dict) or sorted(tree) != groups:
        shown = tree if isinstance(tree, dict) else content
        found = sorted(shown) if isinstance(shown, dict) else f"a {type(shown).__name__}"
        raise WeightsError(
            f"{name} holds no {title} weights: expected the groups {', '.join(groups)} at its top "
            f"or under 'params', found {found!s:.200}."
        )
    return _checked(dict(_leaves(tree)), layout, name)


def unpack(data: bytes, *, name: str, expected: str) -> object:
    """Return what the bytes of a msgpack file hold; arrays are NumPy arrays.

    Raises:
      WeightsError: The bytes are damaged, or a pickle; the message says that ``expected`` was.
    """
    if data[:2] in _PICKLE_STARTS:
        raise WeightsError(
            f"{name} is a pickle, which is never opened because it can run any program: expected "
            f"{expected}."
        )
    try:
        return msgpack.unpackb(data, ext_hook=_array, strict_map_key=True)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise WeightsError(
            f"{name} is damaged or no checkpoint: expected {expected}, found {len(data):,} bytes "
            f"that do not parse ({error or type(error).__name__}). Get the file again."
        ) from error


def official_shapes(hidden: int, bank: int, inputs: int = LSTM_INPUTS) -> Shapes:
    """Return the names from the root and the shape of every array in a checkpoint's tree."""
    ours = weight_shapes(hidden, bank, inputs)
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


VELO = Layout(
    title="VeLO",
    expected="flax msgpack (the official file has 9,282,564 bytes), or a file .safetensors",
    sizes={
        "LSTM": ("lstm_init_state", "hidden"),
        "bank": ("rnn_params", "rnn_to_controls", "b"),
    },
    shapes=official_shapes,
)


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


def _checked(found: Mapping[Names, object], layout: Layout, name: str) -> Arrays:
    """Return what was found as arrays, if it is what the layout says."""
    sizes: dict[str, int] = {}
    for what, key in layout.sizes.items():
        array = found.get(key)
        if not isinstance(array, np.ndarray) or not array.ndim:
            raise WeightsError(
                f"{name} holds no {layout.title} weights: expected an array at "
                f"{' > '.join(key)}, found {type(array).__name__ if key in found else 'nothing'}."
            )
        sizes[what] = array.shape[-1]
    if problems := describe_problems(layout.shapes(*sizes.values()), found, title=" > ".join):
        shown = " and ".join(f"{what} {size}" for what, size in sizes.items())
        raise WeightsError(
            f"{name} holds no {layout.title} weights of {shown}: {problems}. Get the file again, "
            "or from another place."
        )
    return {key: array for key, array in found.items() if isinstance(array, np.ndarray)}


def _leaves(tree: Mapping[str, object], path: Names = ()) -> Iterator[tuple[Names, object]]:
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
