"""Figures and tables drawn from a store alone."""

from __future__ import annotations

from results.report.text import print_report
from results.report.write import ReportFiles, write_report

__all__ = ["ReportFiles", "print_report", "write_report"]
