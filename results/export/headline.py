"""The headline for a paper: the rows of the report as Markdown and as LaTeX."""

from __future__ import annotations

from pathlib import Path

from velodrome.foundation.files import atomic_write_text
from velodrome.results.export.latex import latex_table
from velodrome.results.report.data import ReportData
from velodrome.results.report.sentences import (
    count_lines,
    definition_lines,
    meta_training_lines,
)
from velodrome.results.report.tables import headline_table, markdown_table
from velodrome.results.report.verdict import verdict_lines


def write_headline(data: ReportData, directory: Path) -> tuple[Path, Path]:
    """Write ``headline.md`` and ``headline.tex``.

    Raises:
      VelodromeError: They cannot be written.
    """
    found = headline_table(data)
    # Without the baseline there are no speedups, and no definitions to explain.
    lines = [
        *(definition_lines(data) if found.rows else ()),
        *count_lines(data),
        *meta_training_lines(data),
    ]
    text = [
        *verdict_lines(data),
        data.context.line,
        *([markdown_table(*found)] if found.rows else []),
    ]
    text.append("\n".join(f"- {line}" for line in lines))
    markdown, latex = directory / "headline.md", directory / "headline.tex"
    atomic_write_text(markdown, "\n\n".join(text) + "\n")
    caption = (
        f"Speedup over {data.context.tuned}: 1x is as fast. {data.context.line} "
        "Brackets: 95% intervals for new tasks and new seeds."
    )
    comments = [r"Needs \usepackage{booktabs}.", data.context.line, *lines]
    table = latex_table(*found, caption=caption, label="tab:velodrome-headline", comments=comments)
    atomic_write_text(latex, table)
    return markdown, latex
