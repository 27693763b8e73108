"""The commands that read stores: ``velodrome report`` and ``velodrome compare``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from velodrome import cli
from velodrome.results.report.figures import contents


@pytest.fixture(scope="module")
def stores(make_store: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory):
    """Two stores, of one candidate and of two."""
    folder = tmp_path_factory.mktemp("stores")
    return make_store(folder / "one"), make_store(folder / "two", "--candidates", "2")


def test_two_stores_are_reported_and_compared(
    stores: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    # Other figures have tests of their own, and take most of the time.
    monkeypatch.setattr(contents, "MODULES", (contents.overhead,))
    words = [str(store) for store in stores]
    assert cli.main(["report", *words, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "index.html") in said.replace("\n", "")
    first = said.partition(".")[0].split()[:6]
    assert said.rpartition("beside it\n")[2].split()[:6] == first  # the verdict, said again
    assert cli.main(["compare", *words, "--out", str(tmp_path / "csv")]) == 0
    assert "4 equal in every digit" in capsys.readouterr().out
    page = (tmp_path / "index.html").read_text()
    assert "Synthetic optimizer A" in page and "Synthetic optimizer B" in page
    assert "<strong>Synthetic.</strong>" in page and "Speedup report: synthetic-2" in page
    assert (tmp_path / "csv" / "tasks.csv").read_text().startswith("index,task,family,optimizer")
    assert (tmp_path / "csv" / "optimizers.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "{one}", "{two}"], "add --out DIR"),
        (["report", "{one}", "{one}", "--out", "x"], "named twice"),
        (["report", "no-such-place"], "no-such-place is not a result store"),
        (["compare", "{one}", "no-such-place"], "no-such-place is not a result store"),
    ],
)
def test_what_is_refused(
    stores: tuple[Path, Path], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    given = [word.format(one=stores[0], two=stores[1]) for word in words]
    assert cli.main(given) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_wrong_usage(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["compare", "a"]) == 2
    assert "B" in capsys.readouterr().err
    assert cli.main(["report"]) == 2
    assert "no store is named" in capsys.readouterr().err
