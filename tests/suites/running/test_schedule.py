"""Which job a free worker takes, as a function of what is left and what others do."""

from __future__ import annotations

from velodrome.results.store.lease import Lease, this_machine
from velodrome.suites.running.engines.base import SHARD, TIMING, Job
from velodrome.suites.running.engines.schedule import choose, fits, left_to_others

HERE = this_machine()


def jobs_of(*tasks: int) -> list[Job]:
    return [Job(SHARD, f"s{at}", f"c{task}", task, 1.0 + task) for at, task in enumerate(tasks)]


def timing(task: int) -> Job:
    return Job(TIMING, f"c{task}", f"c{task}", task, 1.0)


def lease(job: Job, *, machine: str = "") -> Lease:
    return Lease(
        job.kind, job.id, job.cell, job.task, job.memory_bytes, "session", "token", "host",
        machine or HERE, 1, 0.0, 0.0,
    )  # fmt: skip


def test_workers_stay_with_their_task_and_help_at_the_end():
    jobs = jobs_of(0, 0, 1)
    assert choose(jobs, []) == jobs[0]  # the task with the most work left
    assert choose(jobs[1:], [lease(jobs[0])]) == jobs[2]  # one that nobody works on
    assert choose(jobs, [], task=1) == jobs[2]
    assert choose(jobs[1:2], [lease(jobs[0])]) == jobs[1]  # helps
    assert choose([], [lease(jobs[0])]) is None


def test_later_stages_stay_where_their_programs_are():
    small, other, large = (
        Job(SHARD, name, name, task, seconds)
        for task, (name, seconds) in enumerate({"small": 1.0, "other": 2.0, "large": 60.0}.items())
    )
    assert choose([small, other, large], [], mine=[0]) == small
    assert choose([small, other], [], mine=[0], theirs=[0, 1]) == small
    # It leaves the last seconds to the worker that has the programs, and helps with more.
    assert choose([other], [], mine=[0], theirs=[1]) is None
    assert choose([other, large], [lease(small)], mine=[0], theirs=[1, 2]) == large
    assert choose([other], [], mine=[0]) == other  # nobody has it


def test_somebody_takes_the_last_seconds_of_a_task_that_all_have_forgotten():
    (job,) = jobs_of(0)
    both = {0, 1}  # what both workers have compiled; they have kept the programs of task 1 alone
    assert choose([job], [], mine=[1], theirs=left_to_others(both, [both])) == job
    assert left_to_others({0}, [{0, 1}, {2}]) == {1, 2}


def test_what_does_not_fit_in_memory_together_runs_one_after_the_other():
    sizes = {"large": 8, "larger": 20, "small": 3}
    large, larger, small = (
        Job(SHARD, name, name, task, float(size), size)
        for task, (name, size) in enumerate(sizes.items())
    )
    # The largest is over the limit by itself: it runs alone.
    assert choose([large, larger, small], [], memory_bytes=12) == larger
    assert choose([large, small], [lease(larger)], memory_bytes=12) is None
    assert choose([larger, small], [lease(large)], memory_bytes=12) == small
    assert choose([larger, small], [lease(large)]) == larger
    assert choose([larger, small], [lease(large, machine="other")], memory_bytes=12) == larger


def test_timings_come_last_and_alone():
    (job,) = jobs_of(0)
    first, second = timing(0), timing(1)
    assert choose([first, job], []) == job
    assert choose([first, second], [lease(job)]) is None
    assert choose([first, second], [lease(job, machine="other")]) == first
    assert choose([first, second], [], mine=[1]) == second
    assert not fits(job, [lease(first)])
    assert fits(job, [lease(first, machine="other")])
