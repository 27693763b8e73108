"""The headline for a paper: the same rows as in the report, as Markdown and as LaTeX."""

from __future__ import annotations

from pathlib import Path

from velodrome.foundation.files import atomic_write_text
from velodrome.results.export.latex import latex_table
from velodrome.results.report.data import ReportData
from velodrome.results.report.sentences import count_lines, definition_lines
from velodrome.results.report.tables import headline_table, markdown_table


def write_headline(data: ReportData, directory: Path) -> tuple[Path, Path]:
    """Writes ``headline.md`` and ``headline.tex``.

    Args:
      data: the report's.
      directory: where to.

    Raises:
      VelodromeError: they cannot be written.
    """
    header, rows = headline_table(data)
    # Without the baseline there are no speedups, and no definitions to explain.
    lines = [*(definition_lines(data) if rows else ()), *count_lines(data)]
    text = [data.context.line, markdown_table(header, rows)] if rows else [data.context.line]
    text.append("\n".join(f"- {line}" for line in lines))
    markdown, latex = directory / "headline.md", directory / "headline.tex"
    atomic_write_text(markdown, "\n\n".join(text) + "\n")
    caption = (
        f"Speedup over {data.context.tuned}: 1x is as fast. {data.context.line} "
        "Brackets: 95% intervals for the same tasks and new seeds."
    )
    comments = [r"Needs \usepackage{booktabs}.", data.context.line, *lines]
    table = latex_table(
        header, rows, caption=caption, label="tab:velodrome-headline", comments=comments
    )
    atomic_write_text(latex, table)
    return markdown, latex
