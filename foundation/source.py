"""Load Python files, and say which source a module was loaded from: what runs is what is hashed."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

from velodrome.foundation.canonical import content_hash
from velodrome.foundation.errors import VelodromeError

#: How the names of modules begin that were given by the paths of their files.
FILE_MODULE = "_velodrome_file_"

#: Packages whose versions every result records: they are known by their version alone.
_RECORDED = frozenset({"jax", "jaxlib", "flax", "optax", "numpy"})

_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class _Source:
    """The source of a module: of one that is loaded, as it was loaded."""

    spec: ModuleSpec | None  # a reload makes another
    path: Path
    digest: str
    imports: tuple[str, ...]


_sources: dict[str, _Source] = {}

#: What each file ran with: the digests of it and of what it imports, by module.
_ran: dict[str, dict[str, str]] = {}


def is_own(module: str) -> bool:
    """Return whether a module is this package's, or of the language."""
    top = module.partition(".")[0]
    return top == "velodrome" or top in sys.stdlib_module_names


def is_recorded(module: str) -> bool:
    """Return whether a module is ours, of the language, or of a package known by its version."""
    return is_own(module) or module.partition(".")[0] in _RECORDED


def load_file(path: str) -> ModuleType:
    """Import a Python file, once for each content: an edited file is loaded again.

    Modules that lie beside the file can be imported by it.

    Raises:
      VelodromeError: There is no such file, or running it failed.
    """
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise VelodromeError(f"there is no file {path}; give path/to/file.py:object.")
    name = f"{FILE_MODULE}{content_hash(str(file))[:16]}"
    if name in sys.modules:
        parts = _closure(name)
        written = {part: _digest(_read(source.path)) for part, source in parts.items()}
        # Another file may have loaded an edited module again since this one ran.
        if written == _digests(parts) == _ran.get(name, written):
            return sys.modules[name]
        _forget(parts)  # also what only imports the edited one
    # At the end: a file named like a module of the language or of a package hides neither.
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    importlib.invalidate_caches()
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    # From these bytes, and from no cache of compiled code: what is hashed is what runs.
    content = _read(file)
    before = set(sys.modules)
    sys.modules[name] = module
    try:
        _run(content, path, module)
        _sources[name] = _Source(spec, file, _digest(content), _imports(content, name, ""))
        parts = _closure(name)
        for part in parts.values():
            _refuse_hidden_neighbours(part, file.parent)
    except BaseException:
        _forget([name, *filter(is_local, set(sys.modules) - before)])  # the next call runs it again
        raise
    _ran[name] = _digests(parts)
    return module


def _run(content: bytes, path: str, module: ModuleType) -> None:
    """Run the content of a file as a module."""
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # for the modules beside it
    try:
        exec(compile(content, str(module.__file__), "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:  # a user's file may raise anything; name the file
        raise VelodromeError(f"running {path} failed: {type(error).__name__}: {error}") from error
    finally:
        sys.dont_write_bytecode = kept


def _digests(parts: dict[str, _Source]) -> dict[str, str]:
    return {name: source.digest for name, source in parts.items()}


def _forget(modules: Iterable[str]) -> None:
    for name in modules:
        sys.modules.pop(name, None)
        _sources.pop(name, None)
        _ran.pop(name, None)


def module_code(module: str) -> dict[str, str]:
    """Return what the code of a module is: hashes of sources by name, and a version.

    The sources are those of the module and of the local modules that it imports (those of its
    package, and those of no installed package), as they were loaded. Nothing for our own modules.

    Raises:
      VelodromeError: One was edited after this process had imported it.
    """
    if is_own(module):
        return {}
    code = version_of(module)
    if is_recorded(module):
        return code
    for name, part in _closure(module).items():
        if _digest(_read(part.path)) != part.digest:
            raise _edited(part.path, name)
        code[part.path.name if name.startswith(FILE_MODULE) else name] = part.digest
    return code


def _closure(module: str) -> dict[str, _Source]:
    """Return the sources of a module and of the local modules that it imports, by name."""
    top, found, waiting = module.partition(".")[0], dict[str, _Source](), [module]
    while waiting:
        name = waiting.pop()
        home = name.partition(".")[0]
        if name not in found and (home == top or is_local(home)) and (source := _source(name)):
            found[name] = source
            waiting += source.imports
    return dict(sorted(found.items()))


def _source(name: str) -> _Source | None:
    """Return the source of a module; None if there is no such module, or it has no source."""
    module, spec = sys.modules.get(name), _find(name)
    if spec is None or not spec.has_location or not Path(str(spec.origin)).is_file():
        return None
    known = _sources.get(name)
    if known is not None and known.spec is spec:
        return known
    path = Path(str(spec.origin))
    content = _read(path)
    if module is not None and not _was_loaded_from(module, content):
        raise _edited(path, name)
    imports = _imports(content, name, spec.parent or "") if path.suffix == ".py" else ()
    source = _Source(spec, path, _digest(content), imports)
    if module is not None:
        _sources[name] = source
    return source


def _find(name: str) -> ModuleSpec | None:
    """Return how a module was loaded, or would be; None if there is none of that name."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)
    package = name.rpartition(".")[0]
    try:
        if not package:
            return importlib.util.find_spec(name)
        # Not by `find_spec`, which imports the package.
        parent = _find(package)
        folders = None if parent is None else parent.submodule_search_locations
        return None if folders is None else PathFinder.find_spec(name, folders)
    except (ImportError, AttributeError, ValueError):
        return None  # what `from package import name` imports need not be a module


@functools.lru_cache(maxsize=512)
def _imports(content: bytes, name: str, package: str) -> tuple[str, ...]:
    """Return the names of all modules that a source may import, anywhere in it."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return ()  # of another version of Python: it is never imported here
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join(filter(None, [*parents, base]))
            found.update([base, *(f"{base}.{alias.name}" for alias in node.names)])
    parts = [one.split(".") for one in found if one]
    every = {".".join(part[:length]) for part in parts for length in range(1, len(part) + 1)}
    return tuple(sorted(every - {name}))


def is_local(module: str) -> bool:
    """Return whether a module is of no installed package, and not of the language."""
    top = module.partition(".")[0]
    spec = None if is_own(top) else _find(top)
    if spec is None:
        return False
    places = list(spec.submodule_search_locations or [spec.origin or ""])
    return bool(places[0]) and not any(part in _INSTALLED for part in Path(places[0]).parts)


def _was_loaded_from(module: ModuleType, content: bytes) -> bool:
    """Return whether the functions of a loaded module are those of a source."""
    file = getattr(module, "__file__", None)
    if type(getattr(module.__spec__, "loader", None)) is not SourceFileLoader or file is None:
        return True  # another kind of loader may change the code
    try:
        known = set(_nested(compile(content, file, "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        return False
    owners = [module, *(value for value in vars(module).values() if isinstance(value, type))]
    functions = (value for owner in owners for value in vars(owner).values())
    return all(
        function.__code__ in known
        for function in functions
        if isinstance(function, FunctionType) and function.__code__.co_filename == file
    )


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _refuse_hidden_neighbours(source: _Source, folder: Path) -> None:
    """Refuse an import that finds another module than the one that lies beside the file."""
    for name in source.imports:
        beside = [folder / f"{name}.py", folder / name / "__init__.py"]
        found = None if "." in name or is_own(name) else _find(name)
        if found is None or not found.has_location or not any(map(Path.is_file, beside)):
            continue
        if Path(str(found.origin)).resolve() not in beside:
            raise VelodromeError(
                f"{source.path} imports {name!r}, and {folder / name} lies beside it, but under "
                f"this name Python has {found.origin}; give the module beside it another name."
            )


def version_of(module: str) -> dict[str, str]:
    """Return the version of the distribution that has a module, if any, by name."""
    return dict(_version(module.partition(".")[0]))


@functools.cache
def _version(top: str) -> dict[str, str]:
    names = {top}
    try:
        importlib.metadata.version(top)  # also one that is installed for editing
    except importlib.metadata.PackageNotFoundError:
        found = () if is_local(top) else importlib.metadata.packages_distributions().get(top, ())
        names = set(found)
    return {f"version of {name}": importlib.metadata.version(name) for name in sorted(names)}


def _edited(path: Path, name: str) -> VelodromeError:
    return VelodromeError(
        f"{path} was edited after this process had imported it as {name!r}, so what runs would "
        "not be what is written there. Start Python again (in a notebook, restart the kernel), or "
        f"call importlib.reload on the module; a file that is given as {path.name}:object, with "
        "its path, is read again by itself."
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # removed since: no longer what was loaded


def _digest(content: bytes) -> str:
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()
