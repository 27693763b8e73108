"""Does one job with a workshop; what all engines have in common."""

from __future__ import annotations

from suites.engines.base import SHARD, Job
from suites.execute import Control, Workshop
from suites.timing import time_cell


def do_job(workshop: Workshop, job: Job, control: Control) -> None:
    """Does ``job`` and writes its file to the workshop's store.

    Raises:
      Stopped: ``control`` asked to stop.
    """
    if job.kind == SHARD:
        workshop.run_shard(job.id, control)
    else:
        workshop.store.write_timing(job.id, time_cell(workshop, job.id))
