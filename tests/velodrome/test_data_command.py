from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from velodrome import cli
from velodrome.commands import _data, _progress
from velodrome.taskgen.data.published import recipes
from velodrome.taskgen.data.published.prepared import Record, SplitRecord
from velodrome.taskgen.data.published.sources import RawFile
from velodrome.taskgen.data.registry import datasets

FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
COUNTS = {"train": 20, "test": 10}


# Reading all suites takes long, and they do not change.
suites_by_data = functools.cache(_data.suites_by_data)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_data, "suites_by_data", suites_by_data)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the files of an MNIST of 20 and 10 images, which count as the published ones."""
    folder, known = tmp_path / "files", []
    folder.mkdir()
    for name in FILES:
        count = COUNTS["train" if name.startswith("train") else "test"]
        shape = (count, 28, 28) if "images" in name else (count,)
        array = (np.arange(np.prod(shape)).reshape(shape) % 7).astype(np.uint8)
        header = bytes([0, 0, 8, array.ndim]) + np.array(shape, ">u4").tobytes()
        path = folder / f"{name}-ubyte.gz"
        path.write_bytes(gzip.compress(header + array.tobytes(), mtime=0))
        content = path.read_bytes()
        url = f"http://127.0.0.1:9/{path.name}"
        known.append(RawFile(url, len(content), hashlib.sha256(content).hexdigest()))
    use(monkeypatch, tuple(known))
    return folder


def use(monkeypatch: pytest.MonkeyPatch, files: tuple[RawFile, ...]) -> None:
    whole = recipes.RECIPES["mnist"]
    small = recipes.Recipe(whole.tfds, whole.parts, COUNTS, files, whole.layout)
    monkeypatch.setitem(recipes.RECIPES, "mnist", small)  # type: ignore[arg-type] - typed as a Mapping, but it is a dict


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the files over HTTP on the loopback interface."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            del format, args

    handler = functools.partial(Quiet, directory=str(folder))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{running.server_port}/"
        use(
            monkeypatch,
            tuple(
                RawFile(url + file.name, file.size, file.sha256)
                for file in recipes.RECIPES["mnist"].files
            ),
        )
        yield url
        running.shutdown()
        thread.join()


def test_status_says_what_each_suite_needs(capsys: pytest.CaptureFixture[str], folder: Path):
    assert cli.main(["data", "status"]) == 0
    shown = capsys.readouterr().out
    table, _, licences = shown.partition("\n\n")
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert "built in" in lines["digits"] and "demo" in lines["digits"]
    assert "about 122 kB" in lines["digits"]  # 1,797 x (64 + 4) bytes
    assert "not here" in lines["mnist"] and "about 45.7 MB" in lines["mnist"]
    assert "about 4.22 GB" in lines["food101_64"]  # 85,850 x (64 x 64 x 3 + 1) x 4 bytes
    assert "about 4 GB" in lines["lm1b_bytes"]
    assert "velodrome data prepare mnist --download" in lines["mnist"]
    assert "velodrome data prepare imagenet16 --from DIR" in lines["imagenet16"]
    assert "prepare lm1b_32k --download --vocabulary FILE" in lines["lm1b_32k"]
    assert "stand-in:NAME" in shown
    assert "CC BY-SA 3.0 and GFDL (Wikipedia)" in licences and "scikit-learn is" in licences
    assert cli.main(["data", "prepare", "mnist", "--from", str(folder)]) == 0
    capsys.readouterr()
    assert cli.main(["data", "status"]) == 0
    prepared = next(
        line for line in capsys.readouterr().out.splitlines() if line.startswith("mnist ")
    )
    assert "prepared" in prepared and datasets.get("mnist").info.content_hash[:16] in prepared


def test_status_of_one_data_set(capsys: pytest.CaptureFixture[str], folder: Path):
    assert cli.main(["data", "status", "cifar10"]) == 0
    shown = capsys.readouterr().out
    for words in ("Krizhevsky 2009", "licence", "cifar-10-binary.tar.gz (170 MB)", "40,000"):
        assert words in shown
    assert cli.main(["data", "status", "imagenet64"]) == 0
    assert "register at image-net.org" in capsys.readouterr().out
    assert cli.main(["data", "prepare", "mnist", "--from", str(folder)]) == 0
    capsys.readouterr()
    assert cli.main(["data", "status", "mnist"]) == 0
    shown = capsys.readouterr().out
    for words in ("prepared from", "IDX files", "yes, by SHA-256", "hash of heldout"):
        assert words in shown
    for words in (["stand-in:cifar100"], ["digits"]):
        assert cli.main(["data", "status", *words]) == 0
    assert "built in" in capsys.readouterr().out


def test_prepare_from_a_folder(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path):
    assert cli.main(["data", "prepare", "mnist", "--from", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "mnist is prepared from IDX files (train: 16, heldout: 10)" in shown
    assert "Note" not in shown
    assert datasets.get("mnist").load("train")["image"].shape == (16, 28, 28, 1)


def test_progress_is_printed_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_progress, "LINE_SECONDS", 0.0)
    assert cli.main(["data", "prepare", "mnist", "--from", str(folder)]) == 0
    assert capsys.readouterr().err == "mnist train: 16 of 16\nmnist heldout: 10 of 10\n"


def test_a_note_says_that_files_are_not_the_published_ones(
    capsys: pytest.CaptureFixture[str], folder: Path
):
    path = folder / f"{FILES[0]}-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=7))
    assert cli.main(["data", "prepare", "mnist", "--from", str(folder)]) == 0
    assert "not, byte for byte, the published ones" in capsys.readouterr().out


def test_a_note_says_that_files_cannot_be_compared(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
):
    for path in list(folder.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert cli.main(["data", "prepare", "mnist", "--from", str(folder)]) == 0
    assert "Note: the files could not be compared with the published" in capsys.readouterr().out
    assert cli.main(["data", "status", "mnist"]) == 0
    assert "not known: unpacked or converted" in capsys.readouterr().out


def test_the_hash_of_the_vocabulary_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def prepared(name: str, **options: object) -> Record:
        splits = {split: SplitRecord(2, "hash", 8) for split in ("train", "heldout")}
        notes = {"vocabulary": "12ab" * 16}
        return Record("text files", {}, True, notes, splits, "now", {})

    monkeypatch.setattr("velodrome.taskgen.data.published.prepare.prepare", prepared)
    words = ["data", "prepare", "lm1b_32k", "--download", "--vocabulary", "sentencepiece.model"]
    assert cli.main(words) == 0
    assert f"vocabulary: SHA-256 {'12ab' * 16}\n" in capsys.readouterr().out


def test_a_damaged_record_fails_only_its_own_data_set(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
):
    assert cli.main(["data", "prepare", "mnist", "--from", str(folder)]) == 0
    prepared = tmp_path / "cache" / "data" / "prepared" / "mnist"
    (prepared / "record.json").write_text('{"schema": 1, "spl')
    capsys.readouterr()
    assert cli.main(["data", "status"]) == 0
    table = capsys.readouterr().out.partition("\n\n")[0]
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert " damaged " in lines["mnist"] and "not here" in lines["cifar10"]
    assert f"delete {prepared}, then velodrome data prepare mnist --download" in lines["mnist"]
    assert cli.main(["data", "status", "mnist"]) == 0
    shown = capsys.readouterr().out
    assert "damaged" in shown and f"Delete {prepared} and prepare the data set again" in shown
    assert cli.main(["list", "datasets"]) == 0
    captured = capsys.readouterr()
    assert "mnist " in captured.out and captured.err == ""
    out = ["--out", str(tmp_path / "store")]
    only = ["run", "velodrome-83/mnist", *out]
    assert cli.main([*only, "--steps", "20"]) == 2
    error = capsys.readouterr().err
    assert "record.json is damaged" in error and f"Delete {prepared}" in error
    assert cli.main([*only, "--data", "stand-in", "--dry-run"]) == 0


def test_prepare_by_downloading(
    capsys: pytest.CaptureFixture[str], server: str, tmp_path: Path, monkeypatch
):
    assert cli.main(["data", "prepare", "mnist", "--download"]) == 0
    assert "mnist is prepared from IDX files" in capsys.readouterr().out
    downloaded = sorted((tmp_path / "cache" / "data" / "downloads" / "mnist").iterdir())
    assert len(downloaded) == 4
    assert cli.main(["data", "status", "mnist"]) == 0
    assert "yes, by SHA-256" in capsys.readouterr().out


def test_a_download_that_is_not_the_published_file_is_refused(
    capsys: pytest.CaptureFixture[str], server: str, folder: Path
):
    path = folder / f"{FILES[3]}-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert cli.main(["data", "prepare", "mnist", "--download"]) == 2
    error = capsys.readouterr().err
    assert "did not send the expected file: expected SHA-256" in error
    assert datasets.get("mnist").info.content_hash == ""
    # Repaired: the other files are not fetched again.
    path.write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
    assert cli.main(["data", "prepare", "mnist", "--download"]) == 0


def test_without_a_network(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert cli.main(["data", "prepare", "mnist", "--download"]) == 2
    error = capsys.readouterr().err
    assert "could not fetch http://127.0.0.1:9/" in error and "--from" in error


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["prepare"], "say which data set"),
        (["prepare", "mnits"], "Did you mean 'mnist'"),
        (["prepare", "digits"], "'digits' needs no preparation"),
        (["status", "--download"], "--download is for `velodrome data prepare`"),
        (["status", "nothing"], "no data set named 'nothing'"),
        (["prepare", "mnist", "--download", "--from", "."], "not both"),
        (["prepare", "mnist", "--vocabulary", "x"], "takes no vocabulary"),
    ],
)
def test_wrong_use(words: list[str], error: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["data", *words]) == 2
    assert error in capsys.readouterr().err
