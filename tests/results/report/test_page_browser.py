"""The page of a report in a real browser: what is clicked, typed, seen and printed.

The browser is a Chromium that is installed already: the one that the environment variable
VELODROME_CHROMIUM names, or `chromium`, `chromium-browser` or `google-chrome` on the path.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from drawn_page import drawn_page
from synthetic import Candidate, make

from velodrome.results.report.live import LivePage
from velodrome.results.store.status import StatusReader, WorkerStatus
from velodrome.results.store.store import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("VELODROME_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), "")
TRUTH = [4.0, 2.0, 1.0, 8.0, 3.0, 0.5, 2.5, 1.5]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not CHROMIUM,
        reason="no Chromium: install `chromium`, or set VELODROME_CHROMIUM to its path",
    ),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = make(
        tmp_path_factory.mktemp("store") / "s",
        [
            Candidate("velo", TRUTH, label="VeLO (velo-tiny)"),
            Candidate("lion", TRUTH[::-1], label="Lion"),
        ],
        saturated=[4],
        diverged=[("velo", 5, 0), ("velo", 5, 1)],
        failed=[("velo", 6)],
        missing=[("lion", 7)],
        provenance="stand-in",
        seeds=2,
        steps=100,
        rates=[1e-3, 3e-3, 1e-2],
    )
    page = made.store.directory / "index.html"
    page.write_text(drawn_page(made.store, ["headline", "speedup", "tuning"]))
    return page.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as running:
        # Chromium refuses its sandbox to root, as which containers run.
        found = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Browser, address: str):
    """Open the page with the options of a context; what the console says is an error."""
    said: list[str] = []
    contexts = []

    def opened(hash: str = "", **options) -> Page:
        context = browser.new_context(**{"reduced_motion": "reduce", **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda r: said.append(r.url) if r.url.startswith("http") else None)
        page.goto(address + hash)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


def column(page: Page, number: int) -> list[str]:
    """Texts of the shown rows of a column, counted from 1."""
    cells = page.locator(f"#task-table tbody tr:not([hidden]) > :nth-child({number})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_sorting(open_page):
    page = open_page()
    head = page.locator("#task-table thead th").nth(6)
    assert "Speedup in steps" in head.inner_text()
    planned = column(page, 1)
    head.get_by_role("button").click()
    page.wait_for_selector("th[aria-sort=ascending]")
    page.wait_for_timeout(50)

    def value(text: str) -> float:
        return 0.0 if text == "diverged" else float(text.strip("≥x"))

    found = column(page, 7)
    numbers = [value(text) for text in found if text != "–"]
    assert numbers == sorted(numbers) and len(set(numbers)) > 5
    assert found[-2:] == ["–", "–"]  # what has no value comes last
    assert found[-3] == "≥5x"  # at least as much comes after as much
    # The keyboard does the same.
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("th[aria-sort=descending]")
    page.wait_for_timeout(50)
    found = column(page, 7)
    assert [value(text) for text in found if text != "–"] == numbers[::-1]
    assert found[-2:] == ["–", "–"] and sorted(column(page, 1)) == sorted(planned)
    assert page.locator("th[aria-sort]").count() == 1


def test_filtering(open_page):
    page = open_page()
    count = page.locator("#count")
    assert count.inner_text() == "16 of 16 rows"
    page.get_by_label("Optimizer").select_option("Lion")
    assert count.inner_text() == "8 of 16 rows" and set(column(page, 5)) == {"Lion"}
    page.get_by_label("Status").select_option("missing")
    assert column(page, 6) == ["missing"]
    page.get_by_label("Search").fill("no such task")
    assert count.inner_text() == "0 of 16 rows" and page.locator("#none").is_visible()
    page.get_by_role("button", name="Clear").click()
    count.filter(has_text="16 of 16 rows").wait_for()
    page.get_by_label("Search").fill("CNN velo")
    assert all(text.startswith("cnn ") for text in column(page, 2)) and len(column(page, 1)) == 2


def test_a_task_opens_and_closes(open_page):
    page = open_page()
    viewer = page.locator("#viewer")
    link = page.locator("#task-table tbody a").first
    first = link.inner_text()
    assert not viewer.is_visible()
    link.click()
    assert viewer.is_visible() and page.locator("#viewer-title").inner_text().strip() == first
    chart = viewer.locator("svg.chart")
    assert chart.is_visible() and "Train loss from" in (chart.get_attribute("aria-label") or "")
    assert viewer.locator("path.rate").count() == 3 and viewer.locator("path.seed").count() == 4
    assert page.url.endswith("#task-0")
    page.keyboard.press("ArrowRight")
    assert page.url.endswith("#task-1") and viewer.locator("svg.chart").count() == 1
    page.get_by_role("button", name="Previous task").click()
    assert page.locator("#viewer-title").inner_text().strip() == first
    page.keyboard.press("Escape")
    assert not viewer.is_visible()
    # The content is back where it was, and the keyboard is at the link.
    page.locator(".part .content").nth(7).wait_for(state="attached")
    assert page.evaluate("document.activeElement.textContent") == first


def test_an_address_may_name_a_task(open_page):
    page = open_page("#task-3")
    assert page.locator("#viewer").is_visible()


def test_without_scripts(open_page):
    page = open_page(java_script_enabled=False)
    assert not page.locator("#filters").is_visible()
    page.locator("#task-table tbody a").nth(2).click()
    assert page.locator("#task-1-curves svg.chart").is_visible()  # the browser opens it


def test_looks(open_page, tmp_path: Path):
    colours = {}
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        colours[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert len(page.screenshot(path=tmp_path / f"{scheme}.png")) > 10_000
    assert colours == {"light": "rgb(244, 245, 247)", "dark": "rgb(14, 15, 17)"}
    phone = open_page(viewport={"width": 360, "height": 740})
    assert phone.evaluate("document.documentElement.scrollWidth") == 360
    # The text of figures keeps a size that can be read.
    tick = phone.locator(".lead .drawing text").first
    assert tick.evaluate("e => e.getBoundingClientRect().height") > 9
    phone.locator("#task-table tbody a").first.click()
    box = phone.locator("#viewer").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 360
    # No table is cut: on a phone each row is a list.
    for width in (360, 1400):
        shown = open_page(viewport={"width": width, "height": 740})
        cut = "e => e.scrollWidth > e.clientWidth + 1"
        tables = shown.locator("section > .wide:visible").all()
        assert len(tables) > 5
        assert [t.get_attribute("aria-label") for t in tables if t.evaluate(cut)] == []
    # On paper all learning curves are there, though nobody opened them.
    printed = open_page()
    printed.emulate_media(media="print")
    assert printed.locator("svg.chart").first.is_visible()
    assert not printed.locator("#filters").is_visible()
    assert printed.pdf().startswith(b"%PDF")


def test_a_run_is_watched(open_page, browser: Browser, address: str, tmp_path: Path):
    store = Path(address.removeprefix("file://")).parent
    file = tmp_path / "live.html"
    reader, live = StatusReader(store), LivePage(store, file, seconds=1)
    job = Store.open(store, read_only=True).plan.shards[0].id
    worker = WorkerStatus("host", 7, "shard", job, "task", "VeLO (velo-tiny)", 0.5, 1.0, 3.0, 0.1)
    done = reader.read()
    live.write(dataclasses.replace(done, workers=(worker,), fraction=0.5), ended=False)
    page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
    page.goto(file.as_uri())
    assert page.locator("h1").inner_text().endswith("50% done")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator(".panels svg path").count() > 8
    # It loads itself again, and stops when the run is over.
    live.write(dataclasses.replace(done, done=done.shards - done.failed, workers=()), ended=True)
    page.locator("h1", has_text="finished").wait_for(timeout=20_000)
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    page.context.close()
