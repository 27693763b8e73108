"""fastMRI from its HDF5 files: what is seen, the splits, and messages when something is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tinydata import replace_facts, shrink

import velodrome
from velodrome.foundation.errors import DataError
from velodrome.taskgen.data.kspace import measured_columns, seen, to_kspace
from velodrome.taskgen.data.published.prepare import prepare
from velodrome.taskgen.data.published.prepared import prepared_dir
from velodrome.taskgen.data.registry import datasets
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.spec import TaskSpec

h5py = pytest.importorskip("h5py")  # of the extra `mlcommons`

pytestmark = pytest.mark.usefixtures("own_cache")

SLICES = {"train": (3, 2), "val": (2, 1, 4)}


def write_scans(folder: Path, *, width: int = 20) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Write volumes of 24 times ``width`` pixels, whose middle 16x16 are reconstructed."""
    generator, written = np.random.default_rng(0), {}
    for split, counts in SLICES.items():
        directory = folder / f"singlecoil_{split}"
        directory.mkdir(parents=True)
        written[split] = []
        for number, count in enumerate(counts):
            images = generator.random((count, 24, width))
            left = (width - 16) // 2
            target = images[:, 4:20, left : left + 16].astype(np.float32)
            kspace = to_kspace(images).astype(np.complex64)
            with h5py.File(directory / f"file{number}.h5", "w") as file:
                file["kspace"], file["reconstruction_esc"] = kspace, target
                file.attrs["max"] = target.max()
            written[split].append((kspace, target))
    return written


def make_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, "fastmri", counts={"singlecoil_train": 2, "singlecoil_val": 3})
    replace_facts(monkeypatch, "fastmri", shape=(16, 16), split_sizes={"train": 5, "heldout": 7})


def test_slices_are_seen_as_the_workload_sees_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_tiny(monkeypatch)
    written = write_scans(tmp_path)
    record = prepare("fastmri", source=tmp_path)
    assert {split: found.size for split, found in record.splits.items()} == {
        "train": 5,
        "heldout": 7,
    }
    train, heldout = (datasets.get("fastmri").load(split) for split in ("train", "heldout"))
    number = 0
    for kspace, target in written["train"]:
        np.testing.assert_array_equal(train["target"][number : number + len(target)], target)
        assert set(train["volume_max"][number : number + len(target)]) == {target.max()}
        for one in kspace:
            columns = measured_columns(1, 20, "fastmri", "train", str(number))
            expected = seen(one[None], columns)[0, 4:20, 2:18]
            np.testing.assert_allclose(train["image"][number], expected, rtol=1e-5)
            number += 1
    kspace = np.concatenate([kspace for kspace, _ in written["val"]])
    columns = measured_columns(1, 20, "fastmri", "heldout")
    expected = seen(kspace, np.repeat(columns, 7, axis=0))[:, 4:20, 2:18]
    np.testing.assert_allclose(heldout["image"], expected, rtol=1e-5)

    spec = TaskSpec("unet", {"image_size": 16, "num_pools": 1}, DataSpec("fastmri"), 2)
    batch = velodrome.open_source(spec, "train").batch(0, 0, 2)
    assert batch["image"].shape == (2, 16, 16) and np.isfinite(batch["image"]).all()


def test_what_is_no_scan_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match=r"has not the files of fastmri. What to do: register"):
        prepare("fastmri", source=tmp_path)
    with pytest.raises(DataError, match="cannot be fetched for you: register"):
        prepare("fastmri")
    write_scans(tmp_path, width=15)
    with pytest.raises(DataError, match="singlecoil_train of fastMRI has 973 files"):
        prepare("fastmri", source=tmp_path)
    make_tiny(monkeypatch)
    with pytest.raises(DataError, match="has slices of 24x15"):
        prepare("fastmri", source=tmp_path)
    broken = tmp_path / "singlecoil_val" / "file1.h5"
    broken.write_bytes(b"no HDF5")
    with pytest.raises(DataError, match=r"file1\.h5 is damaged, or no file of fastMRI"):
        prepare("fastmri", source=tmp_path)
    assert not (prepared_dir("fastmri") / "record.json").exists()
