"""What the site (mkdocs.yml) needs beyond the pages in docs/.

Documents link to files outside of docs/, such as CONTRIBUTING.md or a published report. The site
has copies of these under repository/, pages made from Markdown and all else as it is, so that every
link can be followed, and is checked. The pages of the commands are made from their help, and those
of the notebooks from what their cells showed.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from scripts import site_commands, site_notebooks
from scripts.site_markdown import LINK, indented, resolved
from velodrome.cli import COMMANDS

ROOT = Path(__file__).parents[1]
COPIES = "repository"
COMMAND_PAGES = "reference/commands"
NOTEBOOK_PAGES = "tutorials/notebooks"


def on_config(config: Any) -> Any:
    """List the pages of the commands where mkdocs.yml has an empty list for them.

    The environment variable VELODROME_REPOSITORY, if it is set, is the address of the repository
    on GitHub: then notebooks have a link that opens them in Colab.
    """

    def fill(entries: list[Any]) -> None:
        for entry in (entry for entry in entries if isinstance(entry, dict)):
            for title, inner in entry.items():
                if inner == []:
                    entry[title] = [{name: f"{COMMAND_PAGES}/{name}.md"} for name in COMMANDS]
                elif isinstance(inner, list):
                    fill(inner)

    fill(config.nav)
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages of commands and notebooks, and a copy of each linked file outside of docs/."""
    waiting = [
        (f"docs/{file.src_uri}", file.content_string) for file in files.documentation_pages()
    ]
    while waiting:
        source, text = waiting.pop()
        for _, link, _ in LINK.findall(text):
            path = resolved(source, link)
            if path is None or path.startswith("docs/") or not (ROOT / path).is_file():
                continue
            name = f"{COPIES}/{path}"
            if files.get_file_from_path(name) is None:
                files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
                if path.endswith(".md"):
                    waiting.append((path, (ROOT / path).read_text(encoding="utf-8")))
    for command in COMMANDS:
        name = f"{COMMAND_PAGES}/{command}.md"
        files.append(File.generated(config, name, content=site_commands.page_of(command)))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, pictures = site_notebooks.page_of(notebook, repository=config.repo_url or "")
        for name, content in {f"{notebook.stem}.md": text, **pictures}.items():
            files.append(File.generated(config, f"{NOTEBOOK_PAGES}/{name}", content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Point links at the copies, and write lists as Python's Markdown reads them."""
    name = page.file.src_uri
    source = name.removeprefix(f"{COPIES}/") if name.startswith(f"{COPIES}/") else f"docs/{name}"

    def replaced(match: re.Match[str]) -> str:
        path = resolved(source, match[2])
        if path is None:
            return match[0]
        there = path.removeprefix("docs/") if path.startswith("docs/") else f"{COPIES}/{path}"
        if path.endswith(".ipynb") and not name.startswith(NOTEBOOK_PAGES + "/"):
            there = f"{NOTEBOOK_PAGES}/{posixpath.basename(path).removesuffix('.ipynb')}.md"
        return match[1] + posixpath.relpath(there, posixpath.dirname(name)) + match[3]

    return indented(LINK.sub(replaced, markdown))
