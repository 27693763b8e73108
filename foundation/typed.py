"""Read JSON by declared types, once, where it enters: what follows needs no more checks.

A schema is a dataclass or a TypedDict. The keys of a TypedDict that are not required are those
which a reader can do without.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from velodrome.foundation.errors import SpecError, unknown_key

T = TypeVar("T")

Skip = Callable[[SpecError], None]
"""Called with what is wrong with a part that is left out."""

#: Far deeper than any file of ours, and less than Python's own stack.
_MOST_DEPTH = 32
_WORDS = {
    int: "an integer", float: "a number", str: "a string", bool: "true or false",
    type(None): "null",
}  # fmt: skip


def parse_json(text: str | bytes) -> object:
    """Return the JSON value that a text holds.

    Stricter than Python: numbers are finite and integers have 64 bits, no key comes twice, strings
    can be written as UTF-8. Only such values survive everything that is done with them later.

    Raises:
      ValueError: It is no such text.
    """
    if isinstance(text, bytes):
        text = text.decode()
    try:
        value = json.loads(
            text,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_finite,
            object_pairs_hook=_object,
        )
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if re.search(r"\\u[dD][89a-fA-F]", text):
        json.dumps(value, ensure_ascii=False).encode()  # half a character has no encoding
    return value


def _integer(text: str) -> int:
    value = int(text) if len(text) < 21 else 1 << 64
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"the integer {text[:21]}... has more than 64 bits")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:21]} is no finite number")
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found


def read_as(kind: type[T], value: object, where: str, *, skip: Skip | None = None) -> T:
    """Return a JSON value as ``kind``: lists become tuples if they are declared so.

    Args:
      kind: A dataclass, whose keys are its fields; a TypedDict, which may have more keys; or what
        their fields are made of.
      where: The name of the value, for messages; empty where the file is named anyway.
      skip: Takes errors in keys that a TypedDict does not require; they are then left out.

    Raises:
      SpecError: The value is not of that kind; the message names the part.
    """
    return cast(T, _read(kind, value, where, skip))


def _read(kind: Any, value: object, where: str, skip: Skip | None) -> object:
    if kind in _WORDS:
        return _scalar(kind, value, where)
    if kind in (object, Any):
        _check_depth(value, where)
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of(arguments, value, where, skip)
    if origin is Mapping:
        return {
            key: _read(arguments[1], entry, _part(where, key), skip)
            for key, entry in _mapping(value, where).items()
        }
    if origin in (tuple, list, Sequence):
        if not isinstance(value, list | tuple):
            raise SpecError(where, value, "a list")
        items = enumerate(cast("Sequence[object]", value))
        read = [_read(arguments[0], item, f"{where}[{at}]", skip) for at, item in items]
        return tuple(read) if origin is tuple else read
    known, required = fields_of(kind)
    found = dict(_mapping(value, where))
    for name in required:
        if name not in found:
            raise SpecError(where or "content", sorted(found), f"an object with the key {name!r}")
    values: dict[str, object] = {}
    closed = dataclasses.is_dataclass(kind)
    for name, entry in found.items():
        if closed and name not in known:
            raise unknown_key(where or "content", name, known)
        try:
            values[name] = _read(known.get(name, object), entry, _part(where, name), skip)
        except SpecError as error:
            if closed or skip is None or name in required:
                raise
            skip(error)
    return kind(**values)


def _part(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _scalar(kind: type, value: object, where: str) -> object:
    if kind is float and type(value) is int:
        return float(value)
    # bool is a subclass of int, and `true` is no number of steps.
    if type(value) is not kind:
        raise SpecError(where, value, _WORDS[kind])
    return value


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise SpecError(where or "content", value, "an object")
    return cast("Mapping[str, object]", value)


def _one_of(kinds: tuple[Any, ...], value: object, where: str, skip: Skip | None) -> object:
    if value is None and type(None) in kinds:
        return None
    exact = [kind for kind in kinds if type(value) is kind]
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in exact or others[:-1]:
        try:
            return _read(kind, value, where, skip)
        except SpecError:
            continue
    return _read(others[-1], value, where, skip)


def _check_depth(value: object, where: str, depth: int = 0) -> None:
    if depth > _MOST_DEPTH:
        raise SpecError(where, "...", f"nested at most {_MOST_DEPTH} deep")
    entries: Iterable[object] = ()
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, object]", value).values()
    elif isinstance(value, list | tuple):
        entries = cast("Sequence[object]", value)
    for entry in entries:
        _check_depth(entry, where, depth + 1)


@functools.cache
def fields_of(kind: type) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the types of a schema's fields by name, and those that must be there."""
    known = typing.get_type_hints(kind)
    if not dataclasses.is_dataclass(kind):
        needed = cast(Any, kind).__required_keys__
        return known, tuple(sorted(cast("Iterable[str]", needed)))
    required = [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    return {field.name: known[field.name] for field in dataclasses.fields(kind)}, tuple(required)
