"""The pages in docs/ are short, and read in the site (`make docs`) as they do without it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import velodrome
from scripts.site_commands import rows
from scripts.site_markdown import indented, resolved

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
MOST_WORDS = 1_500


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_is_short_and_has_one_title(page: Path):
    text = page.read_text(encoding="utf-8")
    words = [word for word in text.split() if any(letter.isalnum() for letter in word)]
    assert len(words) <= MOST_WORDS
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_every_public_name_is_on_one_page():
    text = "".join(path.read_text() for path in (ROOT / "docs/reference/api").glob("*.md"))
    documented = re.findall(r"^::: velodrome\.(\w+)$", text, re.MULTILINE)
    # Registries and modules have no docstring of their own, but a section with an example.
    others = [name for name in velodrome.__all__ if f"\n## {name}\n" in text]
    assert sorted([*documented, *others]) == sorted(velodrome.__all__)


def test_lists_get_the_indentation_of_pythons_markdown():
    text = "- a\n  b\n  - c\n\n  d\n- e\n\n  ```python\n  if x:\n      y\n  ```\nf\n  g"
    code = "    ```python\n    if x:\n        y\n    ```"
    assert indented(text) == f"- a\n    b\n    - c\n\n    d\n\n- e\n\n{code}\nf\n  g"
    code = "```python\n- a\n  b\n```"
    assert indented(code) == code


def test_a_link_leads_out_of_the_folder():
    assert resolved("docs/how-to/gpu.md", "../../README.md") == "README.md"
    assert resolved("docs/a.md", "https://example.org/b.md") is None


def test_an_option_is_a_row():
    panel = (
        " --out DIR  Where it\n            goes|ends.\n --a-long-name NAME\n            `a_b` c_d\n"
    )
    assert list(rows(panel)) == [
        r"| `--out DIR` | Where it goes\|ends. |",
        r"| `--a-long-name NAME` | `a_b` c\_d |",
    ]
