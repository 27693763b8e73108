"""The page of a run while it runs, and when it is over."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from synthetic import Candidate, make

from velodrome.results.report.live import LivePage
from velodrome.results.store.plan import Plan, Shard
from velodrome.results.store.status import Status, StatusReader, WorkerStatus
from velodrome.results.store.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    candidate = Candidate("velo", [2.0, 4.0, 1.0, 0.5, 3.0], label="VeLO <tiny>")
    made = make(tmp_path_factory.mktemp("live") / "s", [candidate], steps=50, rates=(1e-3, 3e-3))
    return made.store.directory


def jobs(store: Path) -> list[str]:
    """The shards of the candidate, as long as its runs."""
    return [shard.id for shard in Store.open(store, read_only=True).plan.shards if shard.stop == 50]


def at_work(store: Path, now: Status, fraction: float, loss: float) -> Status:
    """A status in which the last task's candidate is being trained."""
    cell = next(cell for cell in reversed(now.cells) if cell.optimizer.startswith("VeLO"))
    worker = WorkerStatus(
        "host", 7, "shard", jobs(store)[0], cell.task, cell.optimizer, fraction, loss, 3.0, 0.1
    )
    return dataclasses.replace(
        now, workers=(worker,), done=now.shards - 1, fraction=0.9, seconds_left=75.0
    )


def test_curves_grow_while_a_worker_is_at_it(store: Path, tmp_path: Path):
    now, file = StatusReader(store).read(), tmp_path / "live.html"
    page = LivePage(store, file, seconds=3)
    found = []
    for fraction, loss in ((0.2, 2.0), (0.4, 1.5), (0.4, 1.5), (0.8, 1.0)):
        page.write(at_work(store, now, fraction, loss), ended=False)
        text = file.read_text(encoding="utf-8")
        assert '<meta http-equiv="refresh" content="3">' in text
        assert "1 worker, about 1 min 15 s left" in text and 'value="0.9000"' in text
        found.append(re.findall(r'class="growing"[^>]* d="([^"]*)"', text))
    # One dashed line, which starts as a point and goes on; nothing new adds no point.
    assert [len(paths) for paths in found] == [1, 1, 1, 1]
    assert found[1] == found[2] and len({paths[0] for paths in found}) == 3
    assert found[0][0].endswith("h0")
    # Labels are text, and the newest losses of the others are there, too.
    assert "VeLO &lt;tiny&gt;" in text and "VeLO <tiny>" not in text
    assert len(re.findall(r"<figure>", text)) == 5
    assert "<script" not in text and "http://" not in text and "https://" not in text


def test_each_worker_has_its_line_which_begins_again_with_the_next_shard(
    store: Path, tmp_path: Path
):
    now, file = StatusReader(store).read(), tmp_path / "live.html"
    page, first = LivePage(store, file), at_work(store, now, 0.8, 1.5)
    (worker,) = first.workers
    second = dataclasses.replace(worker, pid=8, fraction=0.4, best_loss=1.7)
    page.write(dataclasses.replace(first, workers=(worker, second)), ended=False)
    assert file.read_text(encoding="utf-8").count('class="growing"') == 2
    paths = []
    for fraction in (0.2, 0.4):
        newer = dataclasses.replace(worker, job=jobs(store)[1], fraction=fraction, best_loss=1.2)
        page.write(dataclasses.replace(first, workers=(newer,)), ended=False)
        text = file.read_text(encoding="utf-8")
        paths += re.findall(r'class="growing"[^>]* d="([^"]*)"', text)
    # A point, and then a line from it: what the shard before told is gone.
    assert paths[0].endswith("h0") and paths[1].startswith(paths[0].removesuffix("h0"))


def test_a_shard_of_a_stage_is_drawn_where_it_goes_on(store: Path, tmp_path: Path, monkeypatch):
    now, file = StatusReader(store).read(), tmp_path / "live.html"
    busy = at_work(store, now, 0.5, 1.5)
    found = []
    whole = Plan.shard

    def staged(plan: Plan, name: str) -> Shard:
        return dataclasses.replace(whole(plan, name), start=40)  # of 50 steps

    for shard in (whole, staged):
        monkeypatch.setattr(Plan, "shard", shard)
        LivePage(store, file, seconds=None).write(busy, ended=False)
        text = file.read_text(encoding="utf-8")
        assert "refresh" not in text  # nobody will write it again
        found.append(re.search(r'class="growing"[^>]* d="m(\d+) ', text))
    # Half of 50 steps; and halfway from 40 to 50, of a drawing of 320 units.
    assert [int(one[1]) for one in found if one] == [160, 288]


def test_a_run_that_is_over_has_its_verdict_and_is_not_loaded_again(store: Path, tmp_path: Path):
    now, file = StatusReader(store).read(), tmp_path / "live.html"
    LivePage(store, file).write(now, ended=True)
    text = file.read_text(encoding="utf-8")
    assert "refresh" not in text and 'growing"' not in text
    assert "finished" in text and "Best in steps on 5 tasks" in text
    failed = dataclasses.replace(now, failed=1, done=now.shards - 1, failures={"no memory": 1})
    LivePage(store, file).write(failed, ended=True)
    text = file.read_text(encoding="utf-8")
    assert "1 shard failed: no memory" in text and "refresh" not in text
