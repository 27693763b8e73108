"""The page of a command, made from its help."""

from __future__ import annotations

import contextlib
import io
import os
import re
import textwrap
from collections.abc import Iterator
from unittest import mock

from velodrome import cli

_PANEL = re.compile(r"(?m)^ *(\w.+?) *\n *-{10,} *\n")


def page_of(command: str) -> str:
    """Return the Markdown page of a command."""
    text, *panels = _PANEL.split(help_of(command))
    usage, _, text = text.partition("\n\n")
    text, _, examples = text.partition("examples:\n")
    parts = [f"# velodrome {command}"]
    parts += [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    if examples:
        lines = (line.strip() for line in examples.splitlines() if line.strip())
        parts.append("```bash\n" + "\n".join(lines) + "\n```")
    parts.append("```text\n" + " ".join(usage.removeprefix("usage: ").split()) + "\n```")
    for title, body in zip(panels[::2], panels[1::2], strict=True):
        parts.append(f"## {title[0].upper()}{title[1:].strip()}")
        parts.append("\n".join(["| given | meaning |", "|---|---|", *rows(body)]))
    return "\n\n".join(part for part in parts if part) + "\n"


def help_of(command: str) -> str:
    """Return what `velodrome COMMAND --help` prints on a terminal without graphics."""
    shown = io.StringIO()
    plain = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    with mock.patch.dict(os.environ, plain), contextlib.redirect_stdout(shown):
        code = cli.main([command, "--help"])
    if code:
        raise ValueError(f"velodrome {command} --help: exit code {code}")
    return shown.getvalue()


def rows(panel: str) -> Iterator[str]:
    """Yield the rows of a table: what can be given, and what it means."""
    found: list[list[str]] = []
    for line in filter(str.strip, textwrap.dedent(panel).splitlines()):
        if line.startswith(" ") and found:
            found[-1].append(line.strip())
        else:
            found.append(re.split(r" {2,}", line.strip(), maxsplit=1))
    for name, *meaning in found:
        text = " ".join(meaning).replace(" (default: )", "")
        parts = text.split("`")
        parts[::2] = [re.sub(r"([|*_<])", r"\\\1", part) for part in parts[::2]]
        yield f"| `{name.replace('|', '&#124;')}` | {'`'.join(parts)} |"
