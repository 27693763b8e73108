"""Where one optimizer stands in a field: its place, its rivals, its rate, and where it fails."""

from __future__ import annotations

from collections.abc import Iterator

from velodrome.foundation.text import plural
from velodrome.results.analyses.headline import Headline
from velodrome.results.analyses.verdict import advice, ranked
from velodrome.results.report.data import ReportData
from velodrome.results.report.tables import NOTHING, TextTable, share_text
from velodrome.results.report.verdict import rate_text, significance_text, start_word

_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


def places(data: ReportData) -> list[tuple[str, Headline | None]]:
    """Return all optimizers by their median speedup in steps, the best first.

    The baseline, at 1x by definition, has no headline. Those with results on too few tasks are
    last.
    """
    found: list[tuple[str, Headline | None]] = [(h.label, h) for h in ranked(data.headlines)]
    slower = (
        at for at, (_, h) in enumerate(found) if h is not None and (h.few or h.median.value < 1)
    )
    found.insert(next(slower, len(found)), (data.context.baseline, None))
    return found


def standings_table(data: ReportData) -> TextTable:
    """Return one row per optimizer: place, median speedup in steps, share of tasks won, trials."""
    # Tasks without a result have none.
    known = data.summary.dropna(subset=["candidate_trials"])
    trials = {row["label"]: row["candidate_trials"] for row in known.to_dict("records")}
    rows = []
    for place, (label, found) in enumerate(places(data), 1):
        if found is None:
            rows.append([str(place), data.context.tuned, "1x", "", "", str(data.context.rates)])
            continue
        faster = share_text(found.faster[1.0]) if 1.0 in found.faster else ""
        iqm, tried = found.iqm_text(), str(int(trials[label])) if label in trials else NOTHING
        rows.append([str(place), label, found.median_text(), iqm, faster, tried])
    header = ["#", "optimizer", "median speedup [95%]", "IQM [95%]", "faster on", "trials"]
    return TextTable(header, rows)


def race_lines(data: ReportData, label: str) -> Iterator[str]:
    """Say in sentences how an optimizer does against the baseline and against each rival."""
    field, tuned = places(data), data.context.tuned
    mine = data.headline_of(label)
    where = f"{data.context.suite} ({plural(data.context.tasks, 'task')}, {data.context.data})"
    if mine is None or not mine.tasks:
        yield f"{label} has no speedup on {where}: {data.counts_of(label)}"
        return
    if mine.few:
        yield f"{label} has a speedup on {plural(mine.tasks, 'task')} of {where}: {mine.each}."
    else:
        place = 1 + next(at for at, (name, _) in enumerate(field) if name == label)
        yield (
            f"{label} is {_ordinal(place)} of {len(field)} on {where}, by median speedup in steps: "
            f"{mine.median_text()} over {tuned}, {significance_text(mine.median)}."
        )
    yield _seconds(data, label)
    if against := _against(data, label):
        yield against
    if rate := rate_text(data, label):
        swept = start_word(rate) == "Rate" and _mostly_at_edge(data, label)
        beyond = " Race again, with --learning-rates beyond the edge." if swept else ""
        yield (
            f"{start_word(rate)} to start from, after {data.context.steps:,} steps: {rate}.{beyond}"
        )
    yield _failures(data, label)


def _mostly_at_edge(data: ReportData, label: str) -> bool:
    """Return whether the best rate is at an edge of the grid on most tasks."""
    found = advice(data.sensitivity, label, steps=data.context.steps)
    return found is not None and 2 * found.edge > found.tasks


def _seconds(data: ReportData, label: str) -> str:
    found = data.headline_of(label, unit="seconds")
    if found is None or not found.tasks:
        return "In seconds nothing is known: no step times were measured."
    verdict = "" if found.few else f", {significance_text(found.median)}"
    return f"In seconds, both timed on this machine: {found.median_text()}{verdict}."


def _against(data: ReportData, label: str) -> str:
    rows = data.pairs.loc[data.pairs["label"] == label].sort_values("probability")
    each = [
        f"{row['other']} {row['probability']:.0%} [{row['low']:.0%}, {row['high']:.0%}]"
        for row in rows.to_dict("records")
    ]
    return (
        f"Probability that a run of it ends lower than one of: {'; '.join(each)}." if each else ""
    )


def _failures(data: ReportData, label: str) -> str:
    rows = data.summary.loc[data.summary["label"] == label]
    known = rows.loc[rows["speedup_steps_default"].notna()]
    slower = known.loc[known["speedup_steps_default"] < 1].sort_values("speedup_steps_default")
    parts = [
        f"{row['task']} {row['speedup_steps_default']:.2f}x" for row in slower.to_dict("records")
    ]
    text = (
        f"Slower than {data.context.tuned} on {len(parts)} of {plural(len(known), 'task')}: "
        f"{', '.join(parts)}."
        if parts
        else f"Slower than {data.context.tuned} on no task."
    )
    lost = known.loc[known["seeds_diverged"] > 0, "task"]
    if len(lost):
        text += f" Seeds diverged at its best rate on {', '.join(lost)}."
    without = rows.loc[~rows["status"].isin(("ok", "censored", "saturated", "diverged"))]
    if len(without):
        text += (
            " Without a result: "
            + ", ".join(f"{row['task']} ({row['status']})" for row in without.to_dict("records"))
            + "."
        )
    return text


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else _ORDINALS.get(number % 10, "th")
    return f"{number}{ending}"
