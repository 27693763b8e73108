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


def test_the_readme_is_among_them_and_has_links():
    readme = ROOT / "README.md"
    assert readme in DOCUMENTS
    assert len(LINK.findall(readme.read_text())) > 5
