"""Does one job with a workshop; what all engines have in common."""

from __future__ import annotations

from velodrome.suites.running.engines.base import SHARD, Job, failure_of
from velodrome.suites.training.shard import Control, Workshop
from velodrome.suites.training.timing import time_task


def do_job(workshop: Workshop, job: Job, control: Control) -> None:
    """Does ``job`` and writes its files to the workshop's store.

    Raises:
      Stopped: ``control`` asked to stop.
    """
    if job.kind == SHARD:
        workshop.run_shard(job.id, control)
    else:
        timed, failed = time_task(workshop, job.task)
        for cell, record in timed.items():
            workshop.store.write_timing(cell, record)
        for cell, error in failed.items():
            workshop.store.write_timing_failure(cell, *failure_of(error))
