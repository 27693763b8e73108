"""Weights of published learned optimizers, by name or from a path: read, check, label."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import MissingWeightsError, UnknownNameError, WeightsError
from velodrome.foundation.files import resolved
from velodrome.optimizers.learned.weights.published import PUBLISHED, Published
from velodrome.optimizers.metacost import MetaTrainingCost
from velodrome.optimizers.velo.weights.msgpack import Arrays, parse_arrays
from velodrome.optimizers.velo.weights.safetensors import hash_of_arrays


@dataclass(frozen=True)
class LoadedWeights:
    """A file of weights, every check passed; all of it comes from one read of the file.

    Attributes:
      weights: A pytree of NumPy arrays, of the type that the optimizer takes.
      label: How results are labelled: ``Celo (official)`` for exactly the published file,
        ``Celo (<file name>)`` for any other.
      path: The file.
      size: Its bytes.
      sha256: The hash of these bytes.
      content_hash: The hash of the arrays.
      parameters: How many floats are in the file.
      sizes: Of its layers, such as ``{"LSTM": 64}``.
      licence: Of the published weights; empty for others.
      cost: What meta-training the published weights cost; None for others.
    """

    weights: Any
    label: str
    path: Path
    size: int
    sha256: str
    content_hash: str
    parameters: int
    sizes: dict[str, int]
    licence: str
    cost: MetaTrainingCost | None


def find_published(name: str) -> Published:
    """Return a published learned optimizer.

    Raises:
      UnknownNameError: None has that name.
    """
    if name not in PUBLISHED:
        raise UnknownNameError("published learned optimizer", name, PUBLISHED)
    return PUBLISHED[name]


def read_published(name: str, path: str | os.PathLike[str] | None = None) -> LoadedWeights:
    """Read weights of the optimizer ``name``: the published ones, or those at a path.

    Checked are names, shapes, types and finiteness; and of the published ones the hash.

    Raises:
      UnknownNameError: No optimizer has that name.
      MissingWeightsError: The published ones are not here; the message says how to get them.
      WeightsError: A check failed; the message says what was expected and what was found.
    """
    one = find_published(name)
    file = one.path if path is None else resolved(path)
    if path is None and not file.is_file():
        raise MissingWeightsError(
            f"the weights of {one.label} are not here yet: expected {file}. Run `velodrome "
            f"weights fetch {name}` (needs a network), or give the path of a copy: {name}:PATH.",
            advice=f"velodrome weights fetch {name}",
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"cannot read the weights {file}: {error.strerror}. Give {name} alone, or {name}: with "
            "the path of a file of its weights."
        ) from error
    sha256 = hashlib.sha256(data).hexdigest()
    if path is None:
        refuse_other(one, sha256, where=str(file))
    arrays = parse_arrays(data, one.tree.layout, name=str(file))
    if path is None:
        check_sizes(one, arrays, where=str(file))
        if one.sha256 is None and one.first_use.read() is None:
            one.first_use.write(sha256, size=len(data), origin="placed")
    official = one.is_published(sha256)
    return LoadedWeights(
        weights=one.tree.build(arrays),
        label=f"{one.label} (official)" if official else f"{one.label} ({file.name})",
        path=file,
        size=len(data),
        sha256=sha256,
        content_hash=hash_of_arrays({"/".join(names): a for names, a in arrays.items()}),
        parameters=sum(array.size for array in arrays.values()),
        sizes=sizes_of(one, arrays),
        licence=one.licence if official else "",
        cost=one.cost if official else None,
    )


def refuse_other(one: Published, sha256: str, *, where: str) -> None:
    """Refuse a file in the place of the published one that is another.

    Raises:
      WeightsError: Its hash is not the published or recorded one.
    """
    if one.sha256 is None:
        one.first_use.refuse_change(sha256, where=where)
    elif sha256 != one.sha256:
        raise WeightsError(
            f"{where} is not the published file of {one.label}: expected SHA-256 {one.sha256}, "
            f"found {sha256}. Delete it and run `velodrome weights fetch {one.name}`; other "
            f"weights go by their path, as {one.name}:PATH."
        )


def check_sizes(one: Published, arrays: Arrays, *, where: str) -> None:
    """Refuse weights that have other sizes than the published ones.

    Raises:
      WeightsError: They have.
    """
    found = sizes_of(one, arrays)
    expected = dict(zip(found, one.sizes, strict=True))
    if found != expected:
        raise WeightsError(
            f"{where} does not hold the published weights of {one.label}: expected {expected}, "
            f"found {found}. Delete it and run `velodrome weights fetch {one.name}`."
        )


def sizes_of(one: Published, arrays: Arrays) -> dict[str, int]:
    """Return the sizes of the layers that are free."""
    return {what: arrays[key].shape[-1] for what, key in one.tree.layout.sizes.items()}


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """Return the published optimizer whose weights a file holds, by its arrays; None if unknown.

    The trees of velo-s and VeLO are equal, and count as VeLO's; those of celo2 and celo2-base too.
    """
    try:
        data = resolved(path).read_bytes()
    except OSError:
        return None
    for name, one in sorted(PUBLISHED.items()):
        if name == "velo-s":
            continue
        try:
            parse_arrays(data, one.tree.layout, name=str(path))
        except WeightsError:
            continue
        return name
    return None
