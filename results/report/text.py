"""The report in words and numbers, for consoles and as Markdown."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from velodrome.results.report.data import ReportData
from velodrome.results.report.sentences import (
    cost_lines,
    count_lines,
    definition_lines,
    horizon_line,
    problem_lines,
    published_line,
    target_line,
)
from velodrome.results.report.tables import (
    TextTable,
    cost_table,
    headline_table,
    horizon_table,
    markdown_table,
    more_tables,
    published_comparison,
    target_table,
    task_table,
)
from velodrome.results.report.verdict import verdict_lines

_STYLES = {
    "ok": "green", "censored": "green", "saturated": "yellow", "no progress": "yellow",
    "diverged": "red", "incomplete": "red", "failed": "red", "missing": "red",
}  # fmt: skip
_LEGEND = """\
`best rate`, `best point`: with the lowest seed-mean loss after as many steps as the candidate's; *
marks the edge of the grid. Losses are on the train split unless named otherwise: at the start, the
baseline's after as many steps as the candidate's (at its best rate), and the candidate's."""


def print_report(data: ReportData, *, console: Console | None = None) -> None:
    """Print the verdict, the tables, the definitions, and everything that went wrong."""
    (console or Console()).print(render(data))


def render(data: ReportData) -> RenderableType:
    """Lay out what :func:`print_report` prints."""
    parts: list[RenderableType] = [Text(line, style="bold") for line in verdict_lines(data)]
    parts += [Text(data.context.line, style="dim")]
    if data.context.labels:  # tables of a store with the baseline alone would be headers
        tasks = task_table(data.summary, baseline=data.context.baseline)
        parts += [_table(tasks, left=("task", "family", "optimizer", "status")), Text()]
        parts += [_table(headline_table(data), left=("optimizer", "speedup in")), Text()]
    parts += [Text(line) for line in (*definition_lines(data), *count_lines(data))]
    if len(data.published):
        parts += [Text(), Text(published_line(data))]
        parts += [_table(published_comparison(data.published), left=("task",))]
    if len(data.targets):
        parts += [Text(), Text(target_line(data))]
        parts += [_table(target_table(data.targets), left=("task", "optimizer", "target"))]
    wrong = problem_lines(data)
    if wrong:
        parts += [Text(), Text("Notes", style="bold")]
        parts += [Text(f"- {line}") for line in wrong]
    return Group(*parts)


def _table(found: TextTable, *, left: Collection[str]) -> Table:
    """Return a table without lines, flushed right save for columns with a title in ``left``."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for name in found.header:
        table.add_column(name, justify="left" if name in left else "right", overflow="fold")
    for row in found.rows:
        cells: list[str | Text] = [*row]
        if found.header[-1] == "status":
            cells[-1] = Text(row[-1], style=_STYLES.get(row[-1], ""))
        table.add_row(*cells)
    return table


def markdown(data: ReportData, *, title: str = "Speedup report") -> str:
    """Return the report as Markdown, with more tables and columns than a console has room for."""
    verdict = "\n".join(f"- {line}" for line in verdict_lines(data))
    parts = [f"# {title}", *([verdict] if verdict else []), data.context.line]
    lines = "\n".join(f"- {line}" for line in (*definition_lines(data), *count_lines(data)))
    if data.context.labels:
        tasks = task_table(data.summary, baseline=data.context.baseline, full=True)
        parts += ["## Headline", markdown_table(*headline_table(data)), lines]
        parts += ["## Tasks", markdown_table(*tasks), _LEGEND.replace("\n", " ")]
    else:
        parts += ["## Headline", lines]
    if len(data.published):
        parts += ["## Beside the published baseline", published_line(data)]
        parts += [markdown_table(*published_comparison(data.published))]
    if len(data.tuning_cost):
        parts += ["## Total tuning cost", markdown_table(*cost_table(data))]
        parts += ["\n".join(f"- {line}" for line in cost_lines(data))]
    if len(data.horizon):
        parts += ["## Wrong numbers of steps", markdown_table(*horizon_table(data.horizon))]
        parts += [horizon_line(data)]
    if len(data.targets):
        parts += ["## Time to target", target_line(data)]
        parts += [markdown_table(*target_table(data.targets))]
    for heading, table in more_tables(data):
        parts += [f"## {heading}", markdown_table(*table)] if table.rows else []
    wrong = problem_lines(data)
    if wrong:
        parts += ["## Notes", "\n".join(f"- {line}" for line in wrong)]
    return "\n\n".join(parts) + "\n"
