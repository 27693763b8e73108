"""Tables through a pipe: no wider than a page, and nothing in them is cut in two."""

from __future__ import annotations

import pytest

import velodrome
from velodrome import cli
from velodrome.commands._tables import print_table
from velodrome.taskgen.space.fields import config_fields


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_families_with_many_fields_have_several_lines(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["list", "families"]) == 0
    lines = shown(capsys)
    assert max(map(len, lines)) < 120
    names = [line.split()[0] for line in lines[2:] if not line.startswith(" ")]
    assert names == sorted(velodrome.families.names())
    words = {word.strip(",") for line in lines[2:] for word in line.split()}
    for name in names:
        assert set(config_fields(velodrome.families.get(name).config)) <= words


def test_what_has_no_spaces_stays_whole(capsys: pytest.CaptureFixture[str]):
    path = "/".join(["folder"] * 20)
    print_table(("file", "#rows"), [(path, 3), ("words " * 30, "[4]")], widest=40)
    lines = shown(capsys)
    assert lines[2].split() == [path, "3"]
    assert all(len(line) < len(path) + 10 for line in lines) and "[4]" in lines[3]
