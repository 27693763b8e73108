"""The page of an executed notebook."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def page_of(notebook: Path, *, repository: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by the names that the page gives them.

    Args:
      repository: Its address on GitHub, for a link that opens the notebook in Colab; may be empty.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            title, rest = source.partition("\n")[::2] if not parts else ("", source)
            parts += [title, _links(notebook.name, repository), rest.strip()] if title else [rest]
        elif source.strip():
            parts.append(f"```python\n{source}\n```")
            for output in cell["outputs"]:
                parts.append(_shown(output, notebook.stem, pictures))
    return "\n\n".join(part for part in parts if part) + "\n", pictures


def _links(name: str, repository: str) -> str:
    """Return where else the notebook is."""
    file = f"[Download this notebook](../../../notebooks/{name})"
    if not repository.startswith("https://github.com/"):
        return file
    place = repository.removeprefix("https://github.com/").strip("/")
    colab = f"https://colab.research.google.com/github/{place}/blob/main/notebooks/{name}"
    install = f"`%pip install git+{repository}`"
    return f"{file}, or [open it in Colab]({colab}) and begin with {install}"


def _shown(output: dict[str, Any], stem: str, pictures: dict[str, bytes]) -> str:
    """Return an output as Markdown; a picture goes to the others."""
    if output["output_type"] == "stream":
        return _text(output["text"])
    data = output.get("data", {})
    if "image/png" in data:
        name = f"{stem}-{len(pictures) + 1}.png"
        pictures[name] = base64.b64decode("".join(data["image/png"]))
        # Ours have two pixels for each of the page, and say so.
        width = output["metadata"].get("image/png", {}).get("width")
        size = f'{{ width="{width}" }}' if width else ""
        return f"![Output of the cell above]({name}){size}"
    if "text/html" in data:
        # Style sheets of pandas are for notebooks; the site has its own.
        html = re.sub(r"<style.*?</style>", "", "".join(data["text/html"]), flags=re.DOTALL)
        return re.sub(r' border="1" class="dataframe"', "", html).strip()
    return _text(data.get("text/plain", ""))


def _text(text: str | list[str]) -> str:
    plain = _COLOURS.sub("", "".join(text)).rstrip()
    return f"```text\n{plain}\n```" if plain else ""
