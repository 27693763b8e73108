"""Say what the code of an object is, also of one that a notebook made: there is no file to hash."""

from __future__ import annotations

import dis
import functools
import inspect
import pickle
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, cast

from velodrome.foundation.canonical import canonical_json, content_hash
from velodrome.foundation.source import (
    is_local,
    is_own,
    is_recorded,
    module_code,
    version_of,
)

_LOOKUPS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})


@dataclass(frozen=True)
class ModuleName:
    """A module that is not imported yet, as a part of something."""

    name: str


def code_of(*values: object) -> dict[str, str]:
    """Return what the code of some objects is, by name: hashes of sources, versions.

    The code of a local module is its source, see `module_code`; an installed one has a version.
    What a notebook defines (a function or class of ``__main__``) is known by its compiled code and
    by the values that it refers to. Nothing for what is only of this package.

    Raises:
      VelodromeError: A module was edited after it had been imported.
    """
    walk = _Walk()
    described = [walk.describe(value) for value in values]
    outside = sorted(module for module in walk.modules if not is_own(module))
    if not outside and not walk.interactive:
        return {}
    code = {"definition": content_hash(described)}
    for module in outside:
        if not is_recorded(module):
            code.update(module_code(module) if is_local(module) else version_of(module))
    return code


class _Walk:
    """Describes objects as JSON, and collects the modules whose code they run.

    A description has no address and no order that may differ in the next process.
    """

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.interactive = False
        self._seen: dict[int, tuple[int, object]] = {}  # held, so that no id is used twice

    def describe(self, value: object) -> object:
        kind = type(value)
        if is_recorded(kind.__module__):
            return self._value(value)
        return [self.describe(kind), self._value(value)]

    def _value(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float | complex | bytes):
            return repr(value)
        kind = [type(value).__module__, type(value).__qualname__]
        if isinstance(value, tuple):
            items = cast("tuple[object, ...]", value)
            return [*kind, [self.describe(item) for item in items]]
        if id(value) in self._seen:
            return f"number {self._seen[id(value)][0]}"
        self._seen[id(value)] = len(self._seen), value
        if isinstance(value, Mapping):
            pairs = cast("Mapping[object, object]", value).items()
            return [*kind, [[self.describe(key), self.describe(part)] for key, part in pairs]]
        if isinstance(value, set | frozenset):
            members = cast("set[object]", value)
            return [*kind, sorted(canonical_json(self.describe(member)) for member in members)]
        if isinstance(value, list):
            listed = cast("list[object]", value)
            return [*kind, [self.describe(item) for item in listed]]
        if isinstance(value, CodeType):
            return self._compiled(value)
        if isinstance(value, ModuleType | ModuleName):
            name = value.name if isinstance(value, ModuleName) else value.__name__
            self.modules.add(name)
            return ["module", name]
        if isinstance(value, property):
            return ["property", *map(self.describe, (value.fget, value.fset, value.fdel))]
        if isinstance(value, functools.partial):
            made = cast("functools.partial[object]", value)
            return ["partial", *map(self.describe, (made.func, made.args, made.keywords))]
        if isinstance(value, MethodType):
            return ["method", self.describe(value.__func__), self.describe(value.__self__)]
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, type):
            return self._class(cast("type[object]", value))
        if hasattr(value, "tobytes"):  # an array
            array: Any = value
            return [str(array.dtype), list(array.shape), array.tobytes().hex()]
        if hasattr(value, "__wrapped__"):  # as of jax.jit
            return [*kind, self.describe(cast("Any", value).__wrapped__)]
        self._note(type(value).__module__)
        if state := _state(value):
            return [*kind, self._parts(state.items())]
        return [*kind, getattr(value, "__module__", None), self.describe(_reduced(value))]

    def _note(self, module: str | None) -> bool:
        """Collect a module; return whether it is the one that a notebook or script defines."""
        interactive = module == "__main__" or module not in sys.modules
        self.interactive |= interactive
        if module and not interactive:
            self.modules.add(module)
        return interactive

    def _parts(self, parts: Iterable[tuple[str, object]]) -> list[object]:
        return [[name, self.describe(part)] for name, part in sorted(parts)]

    def _function(self, function: FunctionType) -> object:
        # First where it looks names up: `functools.wraps` copies `__module__`.
        module = function.__globals__.get("__name__") or function.__module__
        if is_own(module or "") and hasattr(function, "__wrapped__"):
            return self.describe(inspect.unwrap(function))  # the user's function inside ours
        interactive = self._note(module)
        enclosed = self.describe(_enclosed(function))
        if not interactive and is_recorded(module):
            return ["function", module, function.__qualname__, enclosed]
        code = self.describe(function.__code__)  # a module may have been loaded again since
        defaults = self.describe([function.__defaults__, function.__kwdefaults__])
        if not interactive:
            return ["function", module, function.__qualname__, code, defaults, enclosed]
        names = sorted(_names(function.__code__) & set(function.__globals__))
        used = [(name, function.__globals__[name]) for name in names]
        return ["function", code, defaults, enclosed, self._parts(used)]

    def _class(self, kind: type[object]) -> object:
        declared: dict[str, Field[object]] = getattr(kind, "__dataclass_fields__", {})
        defaults: list[object] = [
            [name, None if one.default is MISSING else [self.describe(one.default)]]
            for name, one in declared.items()
        ]
        if not self._note(kind.__module__):
            return ["class", kind.__module__, kind.__qualname__, defaults]
        members = [
            (name, part)
            for name, part in vars(kind).items()
            if not name.startswith("__")
            or isinstance(part, FunctionType)
            or hasattr(part, "__wrapped__")  # such as a `__call__` under jax.jit
        ]
        bases = self.describe([base for base in kind.__bases__ if base is not object])
        return ["class", kind.__qualname__, bases, defaults, self._parts(members)]

    def _compiled(self, code: CodeType) -> object:
        constants = [
            self._compiled(constant) if isinstance(constant, CodeType) else _constant(constant)
            for constant in code.co_consts
        ]
        names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
        version = ".".join(map(str, sys.version_info[:2]))
        return ["code", version, code.co_code.hex(), constants, *map(list, names)]


def _constant(value: object) -> object:
    kind = type(value).__name__
    if isinstance(value, tuple):
        return [kind, [_constant(item) for item in cast("tuple[object, ...]", value)]]
    if isinstance(value, frozenset):
        members = cast("frozenset[object]", value)
        return [kind, sorted(canonical_json(_constant(member)) for member in members)]
    return [kind, repr(value)]


def _enclosed(function: FunctionType) -> list[object]:
    """Return the values of the enclosing functions that a function refers to."""
    found: list[object] = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            found.append("empty")  # a name that is assigned later
    return found


def _state(value: object) -> dict[str, object]:
    """Return the attributes of an instance, also those in slots."""
    slots = {
        name: part.__get__(value)
        for kind in type(value).__mro__
        if "__slots__" in vars(kind)
        for name, part in vars(kind).items()
        if isinstance(part, MemberDescriptorType) and hasattr(value, name)
    }
    return {**slots, **getattr(value, "__dict__", {})}


def _reduced(value: object) -> object:
    """Return what `pickle` would keep of an object without attributes, such as one made in C."""
    try:
        kept = value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    except Exception:  # it may refuse in any way
        return None
    if isinstance(kept, str):
        return kept
    return [
        list(cast("Iterator[object]", part)) if isinstance(part, Iterator) else part
        for part in kept
    ]


def _names(code: CodeType) -> set[str]:
    """Return all names that a function, and those inside it, look up among the globals."""
    own = {one.argval for one in dis.get_instructions(code) if one.opname in _LOOKUPS}
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return own.union(*map(_names, inner))
