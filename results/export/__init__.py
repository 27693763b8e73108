"""Results for other programs: tidy tables, a table for a paper, events for TensorBoard."""

from __future__ import annotations

from velodrome.results.export.write import DEFAULT_PARTS, FORMATS, PARTS, ExportFiles, export

__all__ = ["DEFAULT_PARTS", "FORMATS", "PARTS", "ExportFiles", "export"]
