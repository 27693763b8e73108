"""Tables that scripts write into documents, between a line that names the script and another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from velodrome.foundation.errors import DataError

END = "<!-- end -->"


def between_marks(text: str, mark: str, new: str) -> str:
    """Return a document with ``new`` between the line ``mark`` and the line `END` after it.

    Raises:
      DataError: The document lacks the marks.
    """
    before, begin, rest = text.partition(mark)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(f"the document needs the lines {mark} and {END}, in that order.")
    return f"{before}{mark}\n\n{new}\n\n{END}{after}"


def table_of_numbers(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1
) -> str:
    """Return a table as Markdown: the first columns have words, and the others numbers."""
    sides = [":--" if at < words else "--:" for at in range(len(header))]
    return "\n".join(map(line, (header, sides, *rows)))


def line(cells: Sequence[str]) -> str:
    """Return a line of such a table."""
    return f"| {' | '.join(cells)} |"
