from __future__ import annotations

import importlib.metadata

import pytest

from velodrome.foundation.errors import UnknownNameError, VelodromeError
from velodrome.foundation.registry import Registry


def must_be_int(name, value):
    if not isinstance(value, int):
        raise VelodromeError(f"{name!r} is no integer")


@pytest.fixture
def registry():
    numbers = Registry[int]("number", group="test.numbers", check=must_be_int)
    numbers.register("seven", 7)
    numbers.register("seventy", 70)
    return numbers


def test_finds_what_was_registered(registry):
    assert registry.get("seven") == 7
    assert registry.names() == ["seven", "seventy"]
    assert "seven" in registry
    assert "eight" not in registry


def test_the_same_object_may_come_twice_but_not_another(registry):
    registry.register("seven", 7)
    with pytest.raises(VelodromeError, match="number 'seven' is registered already"):
        registry.register("seven", 8)


def made(module, name="cell"):
    def one():
        pass

    one.__module__, one.__qualname__ = module, name
    return one


def test_only_the_same_definition_of_an_interactive_session_is_replaced():
    functions = Registry("function", group="test.functions", definition=lambda function: function)
    first, again = made("__main__"), made("__main__")
    functions.register("name", first)
    with functions.temporarily("name", again):
        assert functions.get("name") is again
    assert functions.get("name") is first
    functions.register("name", again)
    for other in (made("__main__", "another"), made("package")):
        with pytest.raises(VelodromeError, match="function 'name' is registered already"):
            functions.register("name", other)
    functions.register("filed", made("_velodrome_file_1"))
    functions.register("filed", made("_velodrome_file_1"))  # the file was edited, and read again
    with pytest.raises(VelodromeError, match="function 'filed' is registered already"):
        functions.register("filed", made("_velodrome_file_2"))
    functions.register("shared", made("package"))
    for other in (made("package"), made("another_package"), again):
        with pytest.raises(VelodromeError, match="function 'shared' is registered already"):
            functions.register("shared", other)


def test_an_unknown_name_gets_the_close_matches(registry):
    with pytest.raises(UnknownNameError, match="no number named 'sevn'. Did you mean 'seven'"):
        registry.get("sevn")
    with pytest.raises(UnknownNameError, match="Known: seven, seventy"):
        registry.get("x")


def test_values_are_checked(registry):
    with pytest.raises(VelodromeError, match="'word' is no integer"):
        registry.register("word", "word")


def test_temporary_registration(registry):
    with registry.temporarily("eight", 8):
        assert registry.get("eight") == 8
    assert "eight" not in registry


def test_lazy_registration(registry):
    registry.register_lazy("newline", "velodrome.foundation.registry:__no_such__")
    with pytest.raises(VelodromeError, match="'newline' cannot be loaded"):
        registry.get("newline")
    registry.register_lazy("errno", "errno:ENOENT")
    assert registry.get("errno") == 2
    with pytest.raises(VelodromeError, match="registered already"):
        registry.register_lazy("seven", "errno:ENOENT")


def test_objects_from_a_file(registry, tmp_path):
    (tmp_path / "mine.py").write_text("nine = 9\n")
    assert registry.get(f"{tmp_path}/mine.py:nine") == 9
    with pytest.raises(UnknownNameError, match="Did you mean 'nine'"):
        registry.get(f"{tmp_path}/mine.py:nin")
    (tmp_path / "using.py").write_text("import json\n\nten = 10\n")
    with pytest.raises(UnknownNameError, match=r"Known: ten\.$"):  # json is not to be found there
        registry.get(f"{tmp_path}/using.py:xyz")
    with pytest.raises(VelodromeError, match="there is no file"):
        registry.get(f"{tmp_path}/other.py:nine")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(VelodromeError, match=r"running .*broken.py failed: ZeroDivisionError"):
        registry.get(f"{tmp_path}/broken.py:nine")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(VelodromeError, match=r"running .*leaving.py failed: SystemExit: 3"):
        registry.get(f"{tmp_path}/leaving.py:nine")


def test_entry_points(registry, monkeypatch):
    points = [importlib.metadata.EntryPoint("two", "errno:ENOENT", "test.numbers")]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    assert registry.get("two") == 2
    assert "two" in registry.names()
    points.append(importlib.metadata.EntryPoint("five", "errno:EIO", "test.numbers"))
    points.append(importlib.metadata.EntryPoint("five", "errno:EPERM", "test.numbers"))
    with pytest.raises(VelodromeError, match="more than one installed package .*'five'"):
        registry.get("five")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('no GPU here')", "RuntimeError: no GPU here"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError: "),
        ("import no_such_package", "No module named 'no_such_package'"),
        ("pass", "has no attribute 'value'"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named(registry, monkeypatch, tmp_path, code, reason):
    module = f"plugin_{abs(hash(code))}"
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    points = [importlib.metadata.EntryPoint("bad", f"{module}:value", "test.numbers")]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
    with pytest.raises(VelodromeError, match=f"number 'bad' cannot be loaded from .*{reason}"):
        registry.get("bad")
    assert registry.get("seven") == 7
