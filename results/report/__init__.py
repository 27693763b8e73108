"""Figures and tables drawn from a store alone."""

# ruff: noqa: E402 - matplotlib comes first

from __future__ import annotations

from velodrome.results.report.own_matplotlib import import_matplotlib

import_matplotlib()

from velodrome.results.report.text import print_report
from velodrome.results.report.write import ReportFiles, report

__all__ = ["ReportFiles", "print_report", "report"]
