"""Benchmarks measure, so nothing cuts them short: the tests' time limit is not theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lift the time limit of every benchmark that does not set one itself."""
    for item in items:
        # The hook gets the items of the whole run, which may have tests among them.
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(0))
