"""Registries of named things: built in, from an installed package, or from a user's file."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from types import ModuleType
from typing import Generic, Protocol, TypeVar, cast

from velodrome.foundation.definitions import code_of
from velodrome.foundation.errors import UnknownNameError, VelodromeError, which_object
from velodrome.foundation.place import Place
from velodrome.foundation.source import FILE_MODULE, load_file, module_code

T = TypeVar("T")
Found = TypeVar("Found", covariant=True)

#: What the code of something is, by name: hashes of sources, versions of packages.
Code = dict[str, str]


class Finder(Protocol[Found]):
    """Finds values by names that were given to them outside the program."""

    def names(self) -> Iterable[str]: ...

    def find(self, name: str, /) -> Found | None:
        """Return the value of a name, or None; raise a `VelodromeError` that says what is wrong."""
        ...


class Registry(Generic[T]):
    """Names to values, filled by this project, by entry points, and by users' files.

    A name is looked up among the registered ones first, then among the entry points of ``group``
    in installed packages; a name of the form ``path/to/file.py:object`` is read from that file.

    Args:
      kind: What the values are, in the singular, for messages: ``"family"``.
      group: The entry point group, such as ``"velodrome.families"``.
      check: Called with ``(name, value)`` on everything that is looked up; it raises a
        `VelodromeError` if the value is not of this kind.
      definition: Returns the function or class that a value is made of, so that a notebook's cell
        that runs again can be recognised.
      parts: Returns everything that the numbers of a value depend on; see `code`.
      modules: Whether ``module:object`` is a name too, where nothing is registered under it.
      finder: Where names are looked up last.
    """

    def __init__(
        self,
        kind: str,
        *,
        group: str,
        check: Callable[[str, object], None] | None = None,
        definition: Callable[[T], object] | None = None,
        parts: Callable[[T], Iterable[object]] | None = None,
        modules: bool = False,
        finder: Finder[T] | None = None,
    ):
        self.kind = kind
        self.group = group
        self._check = check
        self._definition = definition
        self._parts = parts
        self._modules = modules
        self._finder = finder
        self._values: dict[str, T] = {}
        self._lazy: dict[str, str] = {}
        self._own: frozenset[str] = frozenset()
        self._plugins: dict[str, importlib.metadata.EntryPoint | None] = {}

    def complete(self) -> None:
        """Declare that all that is this project's own is registered."""
        self._own = frozenset([*self._values, *self._lazy])

    def register(self, name: str, value: T) -> T:
        """Add ``value`` under ``name`` and return it.

        An object may be added twice. A value made of a function or class of ``__main__``, or of a
        file that was given by its path, replaces the one made of the function or class that had
        its qualified name before: a notebook's cell may run again, and an edited file is read
        again.

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

        A file that was edited since is read again.

        Raises:
          UnknownNameError: Nothing has that name; the message has the closest ones.
          VelodromeError: It was found, but could not be loaded or is not of this kind.
        """
        return self._find(name)[0]

    def load(self, name: str) -> tuple[T, Code]:
        """Return what `get` returns, and what its code is: that of the code that runs.

        See `module_code` and `code_of`. There is none for what is this project's own, whose
        version is recorded everywhere.

        Raises:
          VelodromeError: Also if it was edited since this process imported it.
        """
        value, code = self._find(name)
        return value, code()

    def is_own(self, name: str) -> bool:
        """Return whether a name is this project's own."""
        return name in self._own

    def _find(self, name: str) -> tuple[T, Callable[[], Code]]:
        if name in self._lazy:
            value = self._import(name, self._lazy[name])
            self._run_check(name, value)
            self._values[name] = value
            del self._lazy[name]
        if name in self._values:
            value = self._values[name]
            return value, lambda: self._code(name, value)
        if place := self._place(name):
            module = self._module(name, place)
            value, code = cast(T, member_of(module, place)), lambda: module_code(module.__name__)
        else:
            # Not kept: a module may be loaded again, and what is hashed is the module.
            point = self._entry_point(name)
            if point is None and self._finder and (found := self._finder.find(name)) is not None:
                return found, dict
            if point is None and name.endswith(".py"):
                raise which_object(name)
            if point is None:
                raise UnknownNameError(self.kind, name, self.names())
            value, code = self._import(name, point.value), lambda: _code_at(point)
        self._run_check(name, value)
        return value, code

    def names(self) -> list[str]:
        """Return all names: of this project, of installed packages, and of the finder; sorted."""
        found = self._finder.names() if self._finder else ()
        points = (point.name for point in self._points())
        return sorted({*self._values, *self._lazy, *points, *found})

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
        cell = self._defined_again(value)
        return cell is not None and cell == self._defined_again(before)

    def _defined_again(self, value: T) -> tuple[str, str] | None:
        """Return where a value is defined, if that may run again: in a notebook, or in a file."""
        made_of = None if self._definition is None else self._definition(value)
        module = getattr(made_of, "__module__", None) or ""
        again = module == "__main__" or module.startswith(FILE_MODULE)
        return (module, getattr(made_of, "__qualname__", "")) if again else None

    def _points(self) -> list[importlib.metadata.EntryPoint]:
        return list(importlib.metadata.entry_points(group=self.group))

    def _code(self, name: str, value: T) -> Code:
        """Return the code of a registered value."""
        if name in self._own:
            return {}
        point = self._entry_point(name)
        if point and getattr(sys.modules.get(point.module), point.attr, None) is value:
            return _code_at(point)  # a plugin whose module registers it too
        return code_of(*([value] if self._parts is None else self._parts(value)))

    def _entry_point(self, name: str) -> importlib.metadata.EntryPoint | None:
        if name not in self._plugins:
            points = [point for point in self._points() if point.name == name]
            targets = sorted({point.value for point in points})
            if len(targets) > 1:
                raise VelodromeError(
                    f"more than one installed package provides a {self.kind} named {name!r} "
                    f"({', '.join(targets)}); uninstall one of them."
                )
            if not points and name not in self._values:
                return None  # it may be installed yet
            self._plugins[name] = points[0] if points else None
        return self._plugins[name]

    def _place(self, name: str) -> Place | None:
        place = Place.of(name)
        return place if place and (self._modules or place.is_file) else None

    def _import(self, name: str, target: str) -> T:
        module_name, _, attribute = target.partition(":")
        with self._loading(f"{name!r} cannot be loaded from {target!r}"):
            return getattr(importlib.import_module(module_name), attribute)

    def _module(self, name: str, place: Place) -> ModuleType:
        if place.is_file:
            return load_file(place.where)
        advice = " Give module:object, with the module installed, or path/to/file.py:object."
        with self._loading(f"{name!r} cannot be loaded", advice):
            return importlib.import_module(place.where)

    @contextlib.contextmanager
    def _loading(self, problem: str, advice: str = "") -> Generator[None, None, None]:
        try:
            yield
        except (Exception, SystemExit) as error:  # another's module may raise anything
            known = isinstance(error, ImportError | AttributeError)
            what = "" if known else f"{type(error).__name__}: "
            raise VelodromeError(f"the {self.kind} {problem}: {what}{error}.{advice}") from error

    def _run_check(self, name: str, value: object) -> None:
        if self._check is not None:
            self._check(name, value)


def member_of(module: ModuleType, place: Place) -> object:
    """Return the object of a place from its module, which may have modules inside.

    Raises:
      UnknownNameError: There is no such object; the message has the closest names.
    """
    found: object = module
    for attribute in place.attribute.split("."):
        if isinstance(found, ModuleType) and not hasattr(found, attribute):
            with contextlib.suppress(ImportError):  # no submodule: see what there is
                importlib.import_module(f"{found.__name__}.{attribute}")
        if not hasattr(found, attribute):
            public = [known for known in dir(found) if not known.startswith("_")]
            if place.is_file:  # what a user's file imports is not what it has to offer
                public = [x for x in public if not isinstance(getattr(found, x), ModuleType)]
            raise UnknownNameError(f"object in {place.where}", attribute, public)
        found = getattr(found, attribute)
    return found


def _code_at(point: importlib.metadata.EntryPoint) -> Code:
    dist = point.dist
    version = {} if dist is None else {f"version of {dist.name}": dist.version}
    return module_code(point.module) | version
