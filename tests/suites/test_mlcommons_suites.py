"""The small suite of MLCommons workloads, and the table of what the large ones would take."""

from __future__ import annotations

from pathlib import Path

from scripts import mlcommons_table
from velodrome.suites.catalog import load_suite
from velodrome.taskgen.description import cost

ROOT = Path(__file__).parents[2]


def test_the_small_suite_has_all_six_families_on_data_that_are_always_there():
    suite = load_suite("mlcommons-mini")
    assert [task.family for task in suite.tasks] == [name for name, *_ in mlcommons_table.WORKLOADS]
    for task in suite.tasks:
        assert task.info.provenance in ("built-in", "stand-in")
        assert 5_000 < cost(task).params < 100_000
        assert cost(task).flops < 100e6


def test_the_documented_table_is_made_again():
    assert mlcommons_table.table() in (ROOT / mlcommons_table.DOCUMENT).read_text()
    # The facts of the workloads: TFLOP of a training step, of the compiled reference.
    known = {"vit_s16": 28.4, "resnet50": 24.2, "wmt_transformer": 28.2, "deepspeech": 48.4}
    known |= {"conformer": 60.8, "gnn": 0.331}
    for line in mlcommons_table.table().splitlines()[2:]:
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        assert abs(float(cells[3]) / known[cells[0]] - 1) < 0.06
