from __future__ import annotations

import errno
import os

import pytest

from velodrome.foundation import files
from velodrome.foundation.errors import SpecError, StoreError, WriteError


def test_writes_whole_files(tmp_path):
    target = tmp_path / "new" / "result.json"
    files.atomic_write_json(target, {"a": [1, 2.5]})
    assert target.read_text() == '{\n "a": [\n  1,\n  2.5\n ]\n}\n'
    assert [path.name for path in target.parent.iterdir()] == ["result.json"]


def test_paths_are_resolved_by_one_rule(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert files.resolved("~/x") == tmp_path / "home" / "x"
    assert files.resolved("exp:1") == tmp_path / "exp:1"
    assert files.resolved(tmp_path) == tmp_path and files.resolved(".") == tmp_path
    for empty in ("", " "):
        with pytest.raises(SpecError, match="path: got .*the name of a file or directory"):
            files.resolved(empty)
    with pytest.raises(SpecError, match=r"\./~no-such-user-here/x is a plain name"):
        files.resolved("~no-such-user-here/x")
    monkeypatch.setenv("VELODROME_CACHE", "~/cache")
    assert files.cache_dir() == tmp_path / "home" / "cache"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="stop"), files.atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("stop")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path):
    target = tmp_path / "result.txt"
    with (
        pytest.raises(WriteError, match=r"cannot write .*result.txt: No space left.*make room"),
        files.atomic_path(target) as temporary,
    ):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot write .*choose a place that you may write"):
        files.atomic_write_text(tmp_path / "file" / "below.txt", "x")


def test_files_are_readable_like_any_other(tmp_path):
    files.atomic_write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_sha256_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256_file(tmp_path / "a") == expected


def test_cache_dir_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "mine"))
    assert files.cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("VELODROME_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert files.cache_dir() == tmp_path / "xdg" / "velodrome"


def test_a_cache_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
    assert files.writable_cache_dir("xla") == tmp_path / "cache" / "xla"
    assert files.writable_cache_dir("xla").is_dir()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "file"))
    named = f"velodrome's cache, {tmp_path / 'file'}: the environment variable VELODROME_CACHE"
    with pytest.raises(WriteError, match=f"cannot write to .*xla: Not a directory.*{named}"):
        files.writable_cache_dir("xla")
    with pytest.raises(WriteError, match=f"cannot write .*notes.json.*{named}"):
        files.atomic_write_json(tmp_path / "file" / "notes.json", {})
    with pytest.raises(WriteError) as outside:
        monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
        files.atomic_write_json(tmp_path / "file" / "notes.json", {})
    assert "VELODROME_CACHE" not in str(outside.value)


def test_a_cache_without_permission_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))
    # The user who runs the tests may write everywhere, so the answer is played.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(WriteError, match="xla: Permission denied.*VELODROME_CACHE"):
        files.writable_cache_dir("xla")


def test_two_cannot_be_in_one_directory(tmp_path):
    with files.exclusive_directory(tmp_path / "made" / "here"):
        with (
            pytest.raises(StoreError, match="another run is at work"),
            files.exclusive_directory(tmp_path / "made" / "here"),
        ):
            raise AssertionError
        with files.exclusive_directory(tmp_path):  # another directory
            pass
    with files.exclusive_directory(tmp_path / "made" / "here"):
        pass


def test_a_directory_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WriteError, match="cannot write to"),
        files.exclusive_directory(tmp_path / "file" / "below"),
    ):
        raise AssertionError
