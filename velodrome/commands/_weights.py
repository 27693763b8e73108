"""What ``velodrome weights`` shows: VeLO's weights and those of other published optimizers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from velodrome.foundation.errors import MissingWeightsError, VelodromeError
from velodrome.foundation.text import short
from velodrome.optimizers.learned.weights import store as learned
from velodrome.optimizers.learned.weights.published import PUBLISHED
from velodrome.optimizers.velo.weights import store as velo

Loaded = velo.LoadedWeights | learned.LoadedWeights


def rows() -> Iterator[Sequence[object]]:
    """Return a row for each name: its label, number of parameters, sizes of layers, file."""
    for name in [*velo.weights_names(), *PUBLISHED]:
        path = PUBLISHED[name].path if name in PUBLISHED else velo.weights_path(name)
        try:
            found = _read(name)
        except MissingWeightsError as error:
            yield name, f"not here yet: {error.advice}", "", "", path
        except VelodromeError as error:
            yield name, f"unusable: {error}", "", "", path
        else:
            yield name, found.label, short(found.parameters), _sizes(found), path


def facts(name: str) -> list[tuple[str, object]]:
    """Return what is known of the weights of a name or path, all of it checked.

    Raises:
      UnknownNameError: It looks like a name and is none.
      WeightsError: A check failed.
    """
    found = _read(name)
    licence = found.licence if isinstance(found, learned.LoadedWeights) else ""
    return [
        ("label", found.label),
        ("file", found.path),
        ("bytes", f"{found.size:,}"),
        ("sizes", _sizes(found)),
        ("parameters", f"{found.parameters:,}"),
        *([("licence", licence)] if licence else []),
        ("SHA-256 of the file", found.sha256),
        ("hash of the arrays", found.content_hash),
    ]


def _read(name: str) -> Loaded:
    if name in PUBLISHED:
        return learned.read_published(name)
    optimizer, _, path = name.partition(":")
    if optimizer in PUBLISHED and path:
        return learned.read_published(optimizer, path)
    known = name in velo.weights_names()
    kind = None if known else learned.kind_of(name)
    return velo.read_weights(name) if kind is None else learned.read_published(kind, name)


def _sizes(found: Loaded) -> str:
    if isinstance(found, learned.LoadedWeights):
        sizes = found.sizes
    else:
        sizes = {"LSTM": found.weights.hidden_size, "bank": found.weights.bank_size}
    return ", ".join(f"{what} {size}" for what, size in sizes.items())
