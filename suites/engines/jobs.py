"""Does one job with a workshop; what all engines have in common."""

from __future__ import annotations

from suites.engines.base import SHARD, Job
from suites.execute import Control, Workshop
from suites.timing import time_task


def do_job(workshop: Workshop, job: Job, control: Control) -> None:
    """Does ``job`` and writes its files to the workshop's store.

    Raises:
      Stopped: ``control`` asked to stop.
    """
    if job.kind == SHARD:
        workshop.run_shard(job.id, control)
    else:
        for cell, record in time_task(workshop, job.task).items():
            workshop.store.write_timing(cell, record)
