"""Event files hold the curves of the store, in the format that TensorBoard reads."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from synthetic import Candidate, make

import velodrome
from velodrome.foundation.errors import VelodromeError
from velodrome.results.export.events import MOST_POINTS, run_name
from velodrome.results.store.curves import LaneInfo
from velodrome.results.store.store import Store


def read_events(path: Path) -> list[Any]:
    """The events of a file: records of length, its checksum, content, its checksum."""
    pytest.importorskip("tensorboardX", reason="the optional extra 'tensorboard' is not installed")
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c

    messages: Any = event_pb2
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        header = content[at : at + 8]
        (length,) = struct.unpack("<Q", header)
        body = content[at + 12 : at + 12 + length]
        sums = struct.unpack("<I", content[at + 8 : at + 12])
        sums += struct.unpack("<I", content[at + 12 + length : at + 16 + length])
        assert sums == (masked_crc32c(header), masked_crc32c(body))
        found.append(messages.Event.FromString(body))
        at += 16 + length
    return found


def scalars(path: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Steps, values and times by tag."""
    first, *events = read_events(path)
    assert first.file_version == "brain.Event:2"
    found: dict[str, list[tuple[int, float, float]]] = {}
    for event in events:
        (value,) = event.summary.value
        found.setdefault(value.tag, []).append((event.step, value.simple_value, event.wall_time))
    return found


def test_events_are_the_curves_of_the_store(tmp_path: Path):
    pytest.importorskip("tensorboardX", reason="the optional extra 'tensorboard' is not installed")
    make(
        tmp_path / "s",
        [Candidate("velo", (2.0, 0.5), "VeLO: a/b")],
        steps=50,
        multiple=2,
        seeds=2,
        rates=(1e-3, 3e-1),
        provenance="stand-in",
    )
    files = velodrome.export(tmp_path / "s", parts=["tensorboard"])
    folder = files.directory / "tensorboard"
    assert {path.name for path in folder.iterdir()} == {
        *(f"Adam, learning_rate={rate}, seed={seed}" for rate in (0.001, 0.3) for seed in (0, 1)),
        *(f"VeLO%3A a%2Fb, seed={seed}" for seed in (0, 1)),
    }
    assert files.runs == len(list(folder.rglob("events.out.tfevents.*"))) == 6 * 2
    for cell in Store.open(tmp_path / "s", read_only=True).cells():
        index, ratio = cell.task.index, 1.0 if cell.name == "adam" else 2.0
        section = f"{index:03d} {cell.task.label} (stand-in data)"
        for split in ("train", "heldout"):
            stored = cell.curves(split=split)
            for lane, values in zip(stored.lanes, stored.values, strict=True):
                name = f"events.out.tfevents.{index:03d}.{cell.id}"
                mine = scalars(folder / run_name(cell.label, lane) / name)
                assert set(mine) == {f"{section}/train loss", f"{section}/heldout loss"}
                steps, found, times = np.array(mine[f"{section}/{split} loss"]).T
                np.testing.assert_array_equal(steps, stored.steps)
                np.testing.assert_array_equal(found.astype(np.float32), values)
                np.testing.assert_allclose(times, 1e-3 * ratio * stored.steps)


def test_long_curves_are_thinned_and_keep_their_ends(tmp_path: Path):
    pytest.importorskip("tensorboardX", reason="the optional extra 'tensorboard' is not installed")
    make(
        tmp_path / "s", [Candidate("velo", (2.0,))], steps=12_000, multiple=1, seeds=1, rates=(1.0,)
    )
    files = velodrome.export(tmp_path / "s", parts=["tensorboard"])
    (path,) = (files.directory / "tensorboard" / "velo, seed=0").iterdir()
    for points in scalars(path).values():
        steps = [step for step, *_ in points]
        assert len(steps) == MOST_POINTS and steps == sorted(set(steps))
        assert steps[0] == 0 and steps[-1] == 12_000


def test_names_of_folders_differ_as_the_runs_do():
    lanes = [LaneInfo(0, {"learning_rate": 1e-3, "b": "../x"}), LaneInfo(1, {})]
    names = {run_name(label, lane) for label in ("a/b", "a%2Fb", "a\\b", "..") for lane in lanes}
    assert len(names) == 8
    for name in names:
        assert not set(name) & set('/\\:*?"<>|') and name not in (".", "..")


def test_long_names_of_folders_are_cut_and_still_differ(tmp_path: Path):
    for label in ("x" * 300, "\u00e9" * 60):
        names = {run_name(label, LaneInfo(seed)) for seed in range(3)}
        assert len(names) == 3 and max(map(len, names)) <= 200
        assert all(unquote(name).startswith(label[:20]) for name in names)
        assert not any("%." in name for name in names)
    store = make(tmp_path / "s", [Candidate("velo", (2.0,), label="x" * 300)], steps=50, seeds=1)
    assert velodrome.export(store.store.directory, parts=["tensorboard"]).runs > 1


def test_without_tensorboardx_the_extra_is_named_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make(tmp_path / "s", [Candidate("velo", (2.0,))], steps=50, seeds=1, rates=(1e-3,))
    for name in ("tensorboardX", "tensorboardX.proto", "tensorboardX.record_writer"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(VelodromeError, match=r"pip install 'velodrome\[tensorboard\]'"):
        velodrome.export(tmp_path / "s", parts=["curves", "tensorboard"])
    assert not (tmp_path / "s" / "export").exists()
