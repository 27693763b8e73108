"""Every relative link and picture in the documents leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    targets = [t for t in LINK.findall(document.read_text()) if "://" not in t]
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


def test_every_page_is_two_clicks_from_the_readme():
    # Nobody looks for a page in the changelog.
    clicks, queue = {ROOT / "README.md": 0, ROOT / "CHANGELOG.md": 2}, [ROOT / "README.md"]
    for page in queue:
        for target in LINK.findall(page.read_text()) if clicks[page] < 2 else []:
            found = (page.parent / target).resolve()
            if found.suffix == ".md" and found.is_file() and found not in clicks:
                clicks[found] = clicks[page] + 1
                queue.append(found)
    pages = {page for page in DOCUMENTS if "docs" in page.parts and "log" not in page.parts}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - clicks.keys()) == []


def test_the_readme_is_among_them_and_has_links():
    readme = ROOT / "README.md"
    assert readme in DOCUMENTS
    assert len(LINK.findall(readme.read_text())) > 5
