"""A table of text as LaTeX, for the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence

_ESCAPED = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "\n": " ",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
)


def escape(text: str) -> str:
    """Write plain text as LaTeX, without commands in it; ``>=`` becomes the sign."""
    parts = (part.translate(_ESCAPED) for part in text.split(">="))
    return r"$\geq$".join(parts)


def latex_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    label: str,
    comments: Sequence[str] = (),
) -> str:
    """Return a ``table*`` that can be included as it is; all texts are plain.

    The first cell of a row is the title of a group of rows, and gets a whole line; the second names
    the row; the others are flushed right. ``label`` is for ``\\ref``; ``comments`` are for those
    who read the source.
    """
    columns = len(header) - 1
    lines = [f"% {' '.join(comment.split())}" for comment in comments]
    lines += [r"\begin{table*}", r"\centering", r"\small", r"\setlength{\tabcolsep}{4pt}"]
    lines += [rf"\caption{{{escape(caption)}}}", rf"\label{{{label}}}", r"\smallskip"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}", r"\toprule", _row(header[1:])]
    above = None
    for group, *cells in rows:
        if group != above:
            title = rf"\multicolumn{{{columns}}}{{l}}{{{escape(group)}}} \\"
            lines += [r"\midrule", title, r"\addlinespace[2pt]"]
            above = group
        lines.append(_row(cells))
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(escape(cell) for cell in cells) + r" \\"
