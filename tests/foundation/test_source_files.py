"""A module's code is what was loaded; edited code is loaded again or refused, never mixed up."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.place import Place, portable
from velodrome.foundation.source import load_file, module_code


@pytest.fixture(autouse=True)
def _same_modules(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    importlib.invalidate_caches()
    return path


def code(path: Path) -> dict[str, str]:
    return module_code(load_file(str(path)).__name__)


def test_a_file_that_was_edited_is_loaded_again(tmp_path):
    path = write(tmp_path / "mine.py", "rate = 1\n")
    first, before = load_file(str(path)), code(path)
    assert load_file(str(path)) is first
    write(path, "rate = 2\n")  # the same length, perhaps within the same second
    assert (first.rate, load_file(str(path)).rate) == (1, 2)
    assert set(before) == {"mine.py"} and code(path) != before
    write(path, "rate = 1\r\n")
    assert code(path) == before  # as some systems write the ends of lines


def test_modules_beside_a_file_are_part_of_its_code(tmp_path):
    path = write(tmp_path / "mine.py", "import beside_one\nrate = beside_one.rate\n")
    write(tmp_path / "beside_one.py", "def late():\n    import beside_two\nrate = 1\n")
    write(tmp_path / "beside_two" / "__init__.py", "from . import part\n")
    write(tmp_path / "beside_two" / "part.py", "import json, numpy, random\n")
    write(tmp_path / "random.py", "raise RuntimeError('not the one of the language')\n")
    before = code(path)
    assert set(before) == {"mine.py", "beside_one", "beside_two", "beside_two.part"}
    write(tmp_path / "beside_two" / "part.py", "import json\n")
    assert code(path) != before
    write(tmp_path / "beside_one.py", "rate = 2\n")
    assert load_file(str(path)).rate == 2
    assert set(code(path)) == {"mine.py", "beside_one"}


def test_a_module_beside_a_file_that_python_finds_elsewhere_is_refused(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder / "mine.py", "import beside\n")
        write(tmp_path / folder / "beside.py", f"where = {folder!r}\n")
    load_file(str(tmp_path / "a" / "mine.py"))
    for _ in range(2):
        with pytest.raises(VelodromeError, match="imports 'beside', and .*b/beside lies beside it"):
            load_file(str(tmp_path / "b" / "mine.py"))


def test_every_file_that_imports_an_edited_module_is_loaded_again(tmp_path):
    paths = [tmp_path / "one.py", tmp_path / "other.py"]
    for path in paths:
        write(path, "import shared_rates\nrate = shared_rates.rate\n")
    for rate in (1, 2, 1):
        write(tmp_path / "shared_rates.py", f"rate = {rate}\n")
        assert [load_file(str(path)).rate for path in paths] == [rate, rate]
    modules = [load_file(str(path)) for path in paths]
    assert [load_file(str(path)) for path in paths] == modules


def test_a_module_that_a_failing_file_imported_is_read_again(tmp_path):
    path = write(tmp_path / "fails.py", "import its_divisor\nrate = 1 / its_divisor.value\n")
    write(tmp_path / "its_divisor.py", "value = 0\n")
    with pytest.raises(VelodromeError, match="ZeroDivisionError"):
        load_file(str(path))
    write(tmp_path / "its_divisor.py", "value = 1\n")
    assert load_file(str(path)).rate == 1


def test_a_module_that_was_edited_since_its_import_is_refused_until_it_is_reloaded(tmp_path):
    sys.path.append(str(tmp_path))
    path = write(tmp_path / "imported_once.py", "def make():\n    return 1\n")
    module = importlib.import_module("imported_once")
    before = module_code("imported_once")
    write(path, "def make():\n    return 22\n")
    with pytest.raises(VelodromeError, match="imported_once.py was edited .*restart the kernel"):
        module_code("imported_once")
    importlib.reload(module)
    assert module_code("imported_once") != before


def test_an_edit_before_the_first_look_is_seen_too(tmp_path):
    sys.path.append(str(tmp_path))
    path = write(tmp_path / "edited_early.py", "class Net:\n    def go(self):\n        return 1\n")
    importlib.import_module("edited_early")
    write(path, "class Net:\n    def go(self):\n        return 2\n")
    with pytest.raises(VelodromeError, match=r"edited_early.py was edited after .* imported it"):
        module_code("edited_early")


def test_installed_packages_have_a_version_and_our_own_code_none():
    assert module_code("velodrome.foundation.errors") == module_code("json.decoder") == {}
    assert set(module_code("optax._src.alias")) == {"version of optax"}
    found = module_code("tyro.conf")
    assert {"version of tyro", "tyro", "tyro.conf", "tyro._cli"} <= set(found)
    assert not any(name.startswith(("typing_extensions", "rich")) for name in found)


@pytest.mark.parametrize(
    ("name", "place", "short"),
    [
        ("C:/mine/lion.py:lion", Place("C:/mine/lion.py", "lion"), "lion.py:lion"),
        ("a.py:b/c.py:lion", Place("a.py:b/c.py", "lion"), "c.py:lion"),
        ("optax:contrib.adopt", Place("optax", "contrib.adopt"), "optax:contrib.adopt"),
        ("adam", None, "adam"),
        ("tasks.json:", None, "tasks.json:"),
        ("C:/mine/lion.py", None, "C:/mine/lion.py"),
        ("C:/mine/weights", None, "C:/mine/weights"),
    ],
)
def test_names_are_taken_apart_at_their_last_colon(name, place, short):
    assert Place.of(name) == place
    assert portable(name) == short
