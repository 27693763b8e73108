"""Fixtures for published data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tinydata import COUNTS, MNIST, shrink, write_mnist


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty cache directory."""
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def elsewhere(
    own_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Start again with an empty cache, to prepare the same data in another way."""
    numbers = iter(range(100))

    def start() -> None:
        monkeypatch.setenv("VELODROME_CACHE", str(tmp_path / f"cache{next(numbers)}"))

    return start


@pytest.fixture
def mnist(own_cache: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST of 50 and 12 images, in IDX files."""
    shrink(monkeypatch, "mnist", counts=COUNTS)
    write_mnist(tmp_path / "idx", MNIST)
    return tmp_path / "idx"
