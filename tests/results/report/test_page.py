from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
from drawn_page import drawn_page
from synthetic import Candidate, make

from velodrome.results.report.data import collect
from velodrome.results.report.figures.colours import (
    PAGE_DARK,
    PAGE_LIGHT,
    contrast,
    dark,
    variables,
)
from velodrome.results.report.figures.drawing import svg
from velodrome.results.report.figures.figure import Plot
from velodrome.results.report.figures.style import (
    PALETTE,
    SeriesStyle,
    new_figure,
    velodrome_style,
)
from velodrome.results.report.figures.svg import page_figure
from velodrome.results.report.page.axes import Axis, path
from velodrome.results.report.page.build import build_page
from velodrome.results.report.page.chart import HEIGHT, chart
from velodrome.results.report.page.tables import frame_table, text_table
from velodrome.results.report.page.templates import unbroken
from velodrome.results.report.plot_data import panel
from velodrome.results.report.tables import TextTable

EVIL = "<script>alert('a')</script>"
VOID = {"meta", "input", "br", "link", "img"}
PAGE = Path(__file__).parents[3] / "results" / "report" / "page"


class Page(HTMLParser):
    """Elements with their attributes; refuses tags that do not match."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page in which everything goes wrong, with names that would be markup."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "FAMILIES", (EVIL, 'a" onclick="b', "rnn", "x&y"))
        made = make(
            tmp_path_factory.mktemp("store") / "s",
            [
                Candidate("velo", [4.0, 2.0, 1.0, 8.0], label="VeLO (velo-tiny)"),
                Candidate("lion", [1.0, 3.0, 0.5, 2.0], label="'><img src=x onerror=alert(1)>"),
            ],
            saturated=[1],
            diverged=[("velo", 2, 0)],
            failed=[("lion", 3)],
            provenance="stand-in",
            steps=100,
            seeds=2,
            rates=[1e-3, 3e-3],
        )
        return drawn_page(made.store, ["headline", "speedup", "tuning", "failures"])


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_names_are_text_and_never_markup(page: Page, text: str):
    ours = [(PAGE / name).read_text() for name in ("vendor/sortable.min.js", "page.js")]
    assert len(page.all("script")) == len(ours)
    assert text.count("<script>") == len(ours)
    assert not page.all("img")
    assert not any(name.startswith("on") for _, found in page.elements for name in found)
    # Still, they can be read.
    assert any(EVIL in part for part in page.text)
    assert any("'><img src=x onerror=alert(1)>" in part for part in page.text)


def test_a_browser_breaks_no_number_at_its_hyphen():
    kept = '<span class="unbroken">3e-2</span>'
    assert unbroken("3e-2 of <b>, late-2") == f"{kept} of &lt;b&gt;, late-2"


def test_nothing_is_fetched(page: Page, text: str):
    for _, attributes in page.elements:
        for name in ("src", "href", "action", "srcset", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png;")), attributes
    assert "url(http" not in text and "@import" not in text
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy is not None and policy.startswith("default-src 'none'")
    assert "unsafe-inline'; img-src data:; script-src 'sha256-" in policy


def test_links_and_descriptions_lead_somewhere(page: Page):
    ids = Counter(found["id"] for _, found in page.elements if found.get("id"))
    assert not [name for name, count in ids.items() if count > 1]
    for _, attributes in page.elements:
        if (attributes.get("href") or "").startswith("#"):
            assert (attributes["href"] or "")[1:] in ids
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name) is None or attributes[name] in ids


def test_it_can_be_read_by_everyone(page: Page):
    assert next(found for tag, found in page.elements if tag == "html")["lang"] == "en"
    assert all(found.get("scope") in ("col", "row") for found in page.all("th"))
    drawings = [found for found in page.all("svg") if "viewBox" in found or "viewbox" in found]
    assert len(drawings) >= 6
    for found in drawings:
        assert found["role"] == "img" and (found.get("aria-label") or found.get("aria-labelledby"))
    # Regions that scroll can be reached and have names.
    regions = [found for found in page.all("div") if found.get("role") == "region"]
    assert all(found["tabindex"] == "0" for found in regions)
    assert all(found.get("aria-label") or found.get("aria-labelledby") for found in regions)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and max(np.diff(levels)) <= 1


def test_the_kind_of_data_is_in_plain_sight(page: Page):
    words = " ".join(page.text)
    assert "Stand-in data." in words
    for expected in (
        "out of memory", "saturated", "diverged", "VeLO (velo-tiny)", "strict:", "cannot exceed",
        "Speedup report: synthetic",
    ):  # fmt: skip
        assert expected in words, expected


def test_the_dialog_has_a_key_too(text: str):
    dialog = text[text.index("<dialog") : text.index("</dialog>")]
    for words in ("Adam, each rate", "envelope over rates", "VeLO (velo-tiny), each seed"):
        assert words in dialog, words


def test_a_label_of_two_lines_can_be_chosen_and_wide_figures_scroll(tmp_path: Path):
    made = make(tmp_path / "s", [Candidate("a", [2.0], label="two\nlines"),
                                 Candidate("b", [1.0], label="`b`")],
                steps=50, seeds=1, rates=[3e-3])  # fmt: skip
    found = Page(drawn_page(made.store, ["time", "failures"]))
    labels = {row["data-label"] for row in found.all("tr") if "data-label" in row}
    assert labels == {"two lines", "`b`"}
    assert labels <= {option.get("value") for option in found.all("option")}
    (broad,) = (f for f in found.all("figure") if "broad" in (f["class"] or "").split())
    assert broad["id"] == "figure-time_to_loss"
    # On a phone all of them scroll, so that their text can be read: the keyboard must reach them.
    drawings = [d for d in found.all("div") if "drawing" in (d.get("class") or "")]
    assert len(drawings) > 1
    assert all((d["tabindex"], d["role"]) == ("0", "region") for d in drawings)
    # Hashes may be left out on narrow screens.
    assert [h.get("class") for h in found.all("th")].count("minor") >= 2
    assert not any("Beware: `" in words for words in found.text)


def test_equal_stores_give_equal_pages(tmp_path: Path):
    pages = []
    for name in ("a", "b"):
        made = make(tmp_path / name, [Candidate("velo", [2.0])], steps=50, seeds=1, rates=[3e-3])
        pages.append(drawn_page(made.store, ["headline"]).encode())
    assert pages[0] == pages[1]
    assert b"Stand-in data" not in pages[0] and str(tmp_path).encode() not in pages[0]


def css_variables(text: str, dark: bool) -> dict[str, str]:
    style = (PAGE / "page.css").read_text()
    blocks = re.findall(r":root\{([^}]*)\}", style)
    found = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]+)", blocks[1 if dark else 0]))
    return {k: "#" + "".join(2 * c for c in v[1:]) if len(v) == 4 else v for k, v in found.items()}


@pytest.mark.parametrize("night", [False, True])
def test_text_stands_out(night: bool):
    found = css_variables("", night)
    assert found["paper"] == (PAGE_DARK if night else PAGE_LIGHT)
    for name in ("ink", "soft", "link", "bad", "good"):
        assert contrast(found[name], found["paper"]) >= 4.5, name
    for name in ("ink", "soft", "link"):
        assert contrast(found[name], found["back"]) >= 4.5, name
    assert contrast(found["warn-ink"], found["warn"]) >= 7
    assert contrast(found["focus"], found["paper"]) >= 3


def test_dark_colours():
    assert dark(PAGE_LIGHT) == PAGE_DARK
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for colour in ("#000000", "#333333", *PALETTE):
        assert contrast(dark(colour), PAGE_DARK) >= 4
    assert len({dark(colour) for colour in PALETTE}) == len(PALETTE)
    assert variables("a: #FFFFFF; b: #0072B2; c: #12") == (
        "a: var(--cffffff); b: var(--c0072b2); c: #12",
        {"#ffffff", "#0072b2"},
    )


def test_figures_keep_to_themselves():
    with velodrome_style():
        figure = new_figure(2.0, 2.0)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], "o", color="#0072B2")
        axes.set_title("#ffffff <b>")
        plot = Plot("one", "speedup", "t", "c", "a", pd.DataFrame(), lambda: figure)
        found = page_figure(plot, svg(figure))
    assert "<style" not in found.svg and "metadata" not in found.svg and "xmlns" not in found.svg
    assert "#ffffff &lt;b&gt;" in found.svg  # a title is no colour
    assert {"#0072b2", "#ffffff"} <= found.colours
    ids = re.findall(r' id="([^"]+)"', found.svg)
    used = set(re.findall(r"url\(#([^)]+)\)", found.svg)) | set(
        re.findall(r'href="#([^"]+)"', found.svg)
    )
    assert ids and set(ids) == used and all(name.startswith("figure-one-") for name in ids)
    assert found.width == 192


def curves(*rows: tuple[str, str, int, int, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["series", "label", "seed", "step", "loss"])
    return table.assign(rate=np.nan)


def test_losses_that_fall_far_are_drawn_on_a_logarithmic_axis():
    line = [("best", "Adam", -1, 0, 2.5), ("best", "Adam", -1, 9, 2.0)]
    near = panel(curves(*line), 9)
    axis = Axis(near.low, near.high, 100, near.log)
    assert not axis.log and 0 < axis(np.array(2.0)) < 10 < axis(np.array(2.5)) < 95
    far = panel(curves(line[0], ("best", "Adam", -1, 9, 0.01)), 9)
    log = Axis(far.low, far.high, 100, far.log)
    assert log.log
    assert [text for _, text in log.ticks(far.loss_locator(5))] == ["0.01", "0.1", "1"]
    assert log(np.array(0.01)) >= 0 and log(np.array(2.5)) <= 100
    assert np.isfinite(log(np.array([0.0, 1e300]))).all()


def test_a_candidate_that_ends_above_the_start_is_in_its_panel_unless_it_is_far_off():
    falls = [("best", "Adam", -1, 0, 2.5), ("best", "Adam", -1, 9, 2.0)]
    for end, shown in ((2.7, True), (2e29, False)):
        found = panel(curves(*falls, ("seed", "VeLO", 0, 0, 2.5), ("seed", "VeLO", 0, 9, end)), 9)
        assert bool(end < found.high) is shown and found.low < 2.0


def test_paths_are_written_as_differences():
    assert path([], []) == "" and path([1], [2]) == "m1 2h0"
    assert path([0, 1, 1.2, 9], [0, 1, 1.1, 4.4]) == "m0 0l1 1 8 3"


def test_a_run_that_ends_early_is_crossed_out():
    table = curves(
        ("seed", "VeLO", 0, 0, 2.0), ("seed", "VeLO", 0, 50, 1e30),
        ("envelope", "Adam", -1, 0, 2.0), ("envelope", "Adam", -1, 10_000, 1.0),
    )  # fmt: skip
    found = chart(table, 100, {"VeLO": SeriesStyle("#0072B2", "o")})
    assert found is not None
    assert [line.kind for line in found.lines] == ["envelope", "seed"]
    assert len(found.crosses) == 1 and abs(found.crosses[0].y) <= 2 * HEIGHT
    assert found.horizon == round(found.width / 100)
    assert found.x_ticks[-1] == (found.width, "10k")
    assert chart(table.iloc[:0], 100, {}) is None


def test_tables():
    table = text_table("c", TextTable(["task", "n", "who"], [["1", ">=5x", "a"], ["2", "-", "b"]]))
    assert [column.number for column in table.columns] == [False, True, False]
    assert table.rows[0][1].text == "≥5x"
    frame = pd.DataFrame({"b": [1.23456, np.nan], "a": ["<x>", None], "n": [1234, 5]})
    table = frame_table("c", frame, {"a": "A", "b": "B", "zz": "Z", "n": "N"})
    assert [column.title for column in table.columns] == ["A", "B", "N"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["<x>", "1.235", "1,234"],
        ["–", "–", "5"],
    ]
    assert [cell.sort for cell in table.rows[1]] == ["", "", "5"]


@pytest.mark.parametrize(("speedup", "shown"), [(50.0, "≥5x [≥5.00, ≥5.00]"), (2.0, "x [2.")])
def test_the_ends_of_an_interval_may_be_lower_bounds(tmp_path: Path, speedup: float, shown: str):
    made = make(tmp_path, [Candidate("mine", [speedup])], seeds=5, noise=0.0)
    page = build_page(collect(made.store), [])
    assert shown in page and (speedup > 5 or "≥2" not in page)
