"""A store on which everything happens that can happen, and its report, written once."""

from __future__ import annotations

import pytest
from synthetic import Made, eventful

import velodrome
from velodrome.results.report import ReportFiles


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return eventful(tmp_path_factory.mktemp("store") / "s", provenance="stand-in")


@pytest.fixture(scope="session")
def files(made: Made, tmp_path_factory: pytest.TempPathFactory) -> ReportFiles:
    return velodrome.report(made.store.directory, tmp_path_factory.mktemp("report"))
