"""JSON Schema of the types that files are read by; see `velodrome.foundation.typed`."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from velodrome.foundation.typed import fields_of

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS = {
    int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null",
}  # fmt: skip


def json_schema(kind: type, *, title: str) -> Schema:
    """Return the schema of a dataclass or TypedDict, with those of its parts under ``$defs``.

    As files are read: a dataclass has no keys but its fields, and a TypedDict may have more.
    """
    parts: dict[str, Schema] = {}
    top = _of(kind, parts)
    return {"$schema": DRAFT, "title": title, **top, "$defs": dict(sorted(parts.items()))}


def _of(kind: Any, parts: dict[str, Schema]) -> Schema:
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if kind in (object, Any):
        return {}
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_of(one, parts) for one in arguments]}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _of(arguments[1], parts)}
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": _of(arguments[0], parts)}
    name = kind.__name__.removeprefix("_")
    if name not in parts:
        parts[name] = {}  # its own parts may have it too
        parts[name] = _object(kind, parts)
    return {"$ref": f"#/$defs/{name}"}


def _object(kind: type, parts: dict[str, Schema]) -> Schema:
    known, required = fields_of(kind)
    said = (kind.__doc__ or "").partition("\n\n")[0]
    made = said.startswith(f"{kind.__name__}(")  # the one that a dataclass makes itself
    return {
        **({"description": inspect.cleandoc(said)} if said and not made else {}),
        "type": "object",
        "properties": {name: _of(field, parts) for name, field in known.items()},
        "required": sorted(required),
        "additionalProperties": not dataclasses.is_dataclass(kind),
    }
