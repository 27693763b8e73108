"""Figures and tables drawn from a store alone."""

from __future__ import annotations

from velodrome.results.report.text import print_report
from velodrome.results.report.write import ReportFiles, report

__all__ = ["ReportFiles", "print_report", "report"]
