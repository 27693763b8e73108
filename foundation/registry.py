"""Registries of named things: built in, from an installed package, or from a user's file."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar, cast

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import UnknownNameError, VelodromeError, which_object

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to values, filled by this project, by entry points, and by users' files.

    A name is looked up among the registered ones first, then among the entry points of ``group``
    in installed packages; a name of the form ``path/to/file.py:object`` is read from that file.

    Args:
      kind: What the values are, in the singular, for messages: ``"family"``.
      group: The entry point group, such as ``"velodrome.families"``.
      check: Called with ``(name, value)`` on everything that is looked up; it raises a
        :class:`VelodromeError` if the value is not of this kind.
      definition: Returns the function or class that a value is made of, so that a notebook's cell
        that runs again can be recognised.
    """

    def __init__(
        self,
        kind: str,
        *,
        group: str,
        check: Callable[[str, object], None] | None = None,
        definition: Callable[[T], object] | None = None,
    ):
        self.kind = kind
        self.group = group
        self._check = check
        self._definition = definition
        self._values: dict[str, T] = {}
        self._lazy: dict[str, str] = {}

    def register(self, name: str, value: T) -> T:
        """Add ``value`` under ``name`` and return it.

        An object may be added twice. A value made of a function or class of ``__main__`` replaces
        the one made of the function or class that had its qualified name before, because a
        notebook's cell may run again.

        Raises:
          VelodromeError: The name already stands for something else.
        """
        self._run_check(name, value)
        if name in self._lazy or (name in self._values and not self._may_replace(name, value)):
            raise VelodromeError(
                f"the {self.kind} {name!r} is registered already; choose another name."
            )
        self._values[name] = value
        return value

    def register_lazy(self, name: str, target: str) -> None:
        """Add ``name`` as ``"module:attribute"``, imported when it is first looked up."""
        if name in self._values or self._lazy.get(name, target) != target:
            raise VelodromeError(
                f"the {self.kind} {name!r} is registered already; choose another name."
            )
        self._lazy[name] = target

    def get(self, name: str) -> T:
        """Return the value of a registered name, an entry point, or ``path/to/file.py:object``.

        Raises:
          UnknownNameError: Nothing has that name; the message has the closest ones.
          VelodromeError: It was found, but could not be loaded or is not of this kind.
        """
        if name in self._values:
            return self._values[name]
        if name in self._lazy:
            value = self._import(name, self._lazy[name])
        elif ".py:" in name:
            value = self._from_file(name)
        else:
            value = self._from_entry_point(name)
        self._run_check(name, value)
        self._values[name] = value
        self._lazy.pop(name, None)
        return value

    def names(self) -> list[str]:
        """Return all names, of this project and of installed packages, sorted."""
        return sorted({*self._values, *self._lazy, *(point.name for point in self._points())})

    def __contains__(self, name: object) -> bool:
        return name in self._values or name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    @contextlib.contextmanager
    def temporarily(self, name: str, value: T) -> Generator[T, None, None]:
        """Register ``value`` inside a ``with`` block, for tests and notebooks."""
        before = {known: self._values[known] for known in [name] if known in self._values}
        self.register(name, value)
        try:
            yield value
        finally:
            self._values.pop(name, None)
            self._values.update(before)

    def _may_replace(self, name: str, value: T) -> bool:
        before = self._values[name]
        if before is value:
            return True
        cell = self._interactive_name(value)
        return cell is not None and cell == self._interactive_name(before)

    def _interactive_name(self, value: T) -> str | None:
        """Return the qualified name of the definition of ``value``, if ``__main__`` has it."""
        made_of = None if self._definition is None else self._definition(value)
        interactive = getattr(made_of, "__module__", None) == "__main__"
        return getattr(made_of, "__qualname__", None) if interactive else None

    def _points(self) -> list[importlib.metadata.EntryPoint]:
        return list(importlib.metadata.entry_points(group=self.group))

    def _from_entry_point(self, name: str) -> T:
        points = [point for point in self._points() if point.name == name]
        if not points and name.endswith(".py"):
            raise which_object(name)
        if not points:
            raise UnknownNameError(self.kind, name, self.names())
        targets = sorted({point.value for point in points})
        if len(targets) > 1:
            raise VelodromeError(
                f"more than one installed package provides a {self.kind} named {name!r} "
                f"({', '.join(targets)}); uninstall one of them."
            )
        return self._import(name, targets[0])

    def _import(self, name: str, target: str) -> T:
        module_name, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except (Exception, SystemExit) as error:  # another package may raise anything
            what = "" if isinstance(error, ImportError | AttributeError) else type(error).__name__
            raise VelodromeError(
                f"the {self.kind} {name!r} cannot be loaded from {target!r}: "
                f"{what}{': ' * bool(what)}{error}."
            ) from error

    def _from_file(self, name: str) -> T:
        path_text, _, attribute = name.rpartition(":")
        module = load_module_file(path_text)
        if not hasattr(module, attribute):
            public = [known for known in vars(module) if not known.startswith("_")]
            raise UnknownNameError(f"object in {path_text}", attribute, public)
        return cast(T, getattr(module, attribute))

    def _run_check(self, name: str, value: object) -> None:
        if self._check is not None:
            self._check(name, value)


def load_module_file(path: str) -> ModuleType:
    """Import a Python file as a module, once for each file.

    Raises:
      VelodromeError: There is no such file, or running it failed.
    """
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise VelodromeError(f"there is no file {path}; give path/to/file.py:object.")
    module_name = f"_velodrome_file_{content_hash(str(file))[:16]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None and spec.loader is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a user's file may raise anything; name the file
        del sys.modules[module_name]
        raise VelodromeError(f"running {path} failed: {type(error).__name__}: {error}") from error
    return module
