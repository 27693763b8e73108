"""Markdown of ours as the site's reader takes it."""

from __future__ import annotations

import posixpath
import re

LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")

_ITEM = re.compile(r"(?:[-*]|\d+\.) ")
_FENCE = re.compile(r" *```")


def resolved(source: str, link: str) -> str | None:
    """Return the path in the repository that a document's relative link leads to."""
    if "://" in link or link.startswith(("mailto:", "/")):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def indented(markdown: str) -> str:
    """Write lists as Python's Markdown reads them.

    Ours are indented by two columns, as GitHub takes them; it wants four, and an empty line before
    an item that follows a paragraph of the item before.
    """
    lines = []
    in_list, fence, paragraph = False, "", False
    for line in markdown.splitlines():
        body = line.lstrip(" ")
        spaces = line[: len(line) - len(body)]
        if body and not spaces and not fence:
            item = bool(_ITEM.match(body))
            if in_list and item and paragraph:
                lines.append("")
            in_list, paragraph = item, False
        paragraph |= not body
        opens = _FENCE.match(line) is not None
        if in_list and (not fence or opens):
            lines.append(spaces + line)
        elif in_list:
            lines.append(fence + line)
        else:
            lines.append(line)
        if opens:
            fence = "" if fence else spaces or " "
    return "\n".join(lines)
