"""Describe what a run would do, without doing any of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from velodrome.foundation.text import duration, plural, size
from velodrome.results.store.baseline_mode import BaselineMode
from velodrome.results.store.plan import Plan
from velodrome.results.store.store import Store
from velodrome.suites.planning.estimates import CellOverview, shard_seconds
from velodrome.suites.planning.plan import missing_data
from velodrome.suites.planning.spread import Spread
from velodrome.suites.protocol import Protocol
from velodrome.suites.running.staging import in_stages
from velodrome.taskgen.budget import DeviceProfile, devices_needed
from velodrome.taskgen.data.published.recipes import how_to_get

#: Share of the steps after the first stage that a sweep takes until it is decided: that of
#: heldout-40 (to 10 N) took 51%, on its published curves; that of the demo (to 4 N) 75%.
_GOES_ON = 0.51


#: Seconds of a core that the published runs of the demo and of mlcommons-mini took for a training
#: program, beyond steps and evaluations as timed: to compile it, with its part of the programs that
#: all optimizers of a task share.
_COMPILING = (5.0, 15.0)


def describe(
    plan: Plan,
    cells: Sequence[CellOverview],
    *,
    profile: DeviceProfile | None = None,
    backend: str | None = None,
    spread: Spread | None = None,
) -> Iterator[str]:
    """Yield lines that say what running a plan would take.

    ``cells`` is the overview of the plan, for the device of ``profile`` (by default roughly this
    machine). ``backend`` is what a run here would compute on: a line says so if the plan is for
    another.
    """
    where = "one core or device" if profile is None else profile.label
    each = ""
    if spread is not None:
        where = f"{spread.devices} x {'core or device' if profile is None else profile.label}"
        each = f" on each of {spread.devices}" if spread.devices > 1 else ""
    width = max(len(f"{cell.task} / {cell.optimizer}") for cell in cells)
    for cell in cells:
        name = f"{cell.task} / {cell.optimizer}"
        yield (
            f"{name:{width}}  {cell.lanes:5} {'run' if cell.lanes == 1 else 'runs'} "
            f"x {cell.horizon:,} steps in {plural(cell.shards, 'shard')} "
            f"({cell.mode}), about {duration(cell.seconds)} on {where}, "
            f"{size(cell.memory_bytes)} of memory{each}, {size(cell.disk_bytes)} on disk"
        )
    for name, tasks in missing_data(plan).items():
        yield f"Missing data: {name}, for {plural(tasks, 'task')}. To get it: {how_to_get(name)}"
    if profile is not None:
        if large := [cell for cell in cells if cell.memory_bytes > profile.memory_bytes]:
            yield _too_large(plan, large, profile, spread)
        if backend in (None, plan.backend):
            yield f"Lanes are grouped into shards as for a run here, on the {plan.backend}."
        else:
            yield (
                f"Lanes are grouped into shards as on a {plan.backend}; a run here, on the "
                f"{backend}, groups them in another way."
            )
    if spread is not None and spread.devices > 1:
        kept = "a part" if spread.state_parts > 1 else "all"
        yield (
            f"Each run is trained on {plural(spread.devices, 'device')} together, one run after "
            f"another (sharding {spread.sharding}: each keeps {kept} of parameters and optimizer "
            "state, and a part of each batch). What they exchange is not in the prediction."
        )
    total = sum(cell.seconds for cell in cells)
    disk = size(sum(cell.disk_bytes for cell in cells))
    yield (
        f"{plural(len(cells), 'cell')}, {plural(len(plan.shards), 'shard')}, "
        f"{plural(sum(cell.lanes for cell in cells), 'run')}: about {duration(total)} of {where} "
        f"without compiling and the optimizers' own work, {disk} on disk. The seconds are "
        "predicted from FLOPs and bytes, and rough. Nothing was done."
    )


def _too_large(
    plan: Plan, large: Sequence[CellOverview], profile: DeviceProfile, spread: Spread | None
) -> str:
    """Say what to do about cells that need more memory than the device has, task by task."""
    said = (
        f"{plural(len(large), 'cell')} would need more, as predicted, than the "
        f"{size(profile.memory_bytes)} of {profile.label}"
    )
    if spread is not None and spread.state_parts < spread.devices:
        # More devices would not help, save for the activations.
        return (
            f"{said}: each device keeps all parameters and optimizer state. --sharding full splits "
            "them."
        )
    worst: dict[str, CellOverview] = {}  # of each task, the optimizer that needs most
    for cell in sorted(large, key=lambda cell: cell.memory_bytes):
        worst[cell.task] = cell
    needed = [f"{task}: {_devices(plan, cell, profile)}" for task, cell in worst.items()]
    return f"{said}. So many devices have it together (--devices N): {'; '.join(needed)}."


def _devices(plan: Plan, cell: CellOverview, profile: DeviceProfile) -> str:
    examples = plan.cell(cell.id).part_size
    count = devices_needed(cell.memory_bytes * cell.devices, examples, profile)
    return f"no number that shares {examples:,} examples evenly" if count is None else f"{count}"


def describe_compiling(programs: int, backend: str) -> str:
    """Return a line that says what compiling takes, roughly; nobody has fitted it to programs."""
    least, most = (programs * seconds for seconds in _COMPILING)
    found = "what that takes with an accelerator was not measured"
    if backend == "cpu":
        found = (
            f"those of the demo took {_COMPILING[0]:g} s each on a core, those of mlcommons-mini "
            f"{_COMPILING[1]:g} s; so very roughly {duration(least)} to {duration(most)} here"
        )
    return (
        "Compiling comes on top: a run from nothing has at least "
        f"{plural(programs, 'training program')}; {found}. Programs of earlier runs on this "
        "machine are kept."
    )


def describe_modes(
    plan: Plan, cells: Sequence[CellOverview], protocol: Protocol, mode: BaselineMode
) -> str:
    """Return a line that predicts what each mode of the baseline would take.

    The race is ``mode``, if that is one.
    """
    race = mode if mode.rates else BaselineMode.parse("racing")
    seconds = {cell.id: cell.seconds for cell in cells}
    sweeps = [cell for cell in plan.cells if cell.optimizer.name == protocol.baseline]
    swept = sum(seconds[cell.id] for cell in sweeps)
    first = sum(seconds.values()) - swept * (1 - 1 / protocol.baseline_multiple)
    rest = sum(seconds.values()) - first
    points = max((len({lane.run[0] for lane in cell.lanes}) for cell in sweeps), default=1)
    raced = rest * min(1.0, race.rates / points)
    return (
        f"By the mode of the baseline: exhaustive {duration(first + rest)}, decided about "
        f"{duration(first + _GOES_ON * rest)}, {race} about {duration(first + _GOES_ON * raced)}; "
        f"at least {duration(first)}."
    )


def describe_refining(added: Mapping[str, int], cells: Sequence[CellOverview]) -> str:
    """Return a line that says how many runs a refinement may add; ``added`` has them by cell."""
    seconds = sum(added.get(cell.id, 0) * cell.seconds / cell.lanes for cell in cells)
    return (
        f"Refining the learning rates of {plural(len(added), 'sweep')} adds at most "
        f"{plural(sum(added.values()), 'run')}, which would take about {duration(seconds)} more."
    )


def describe_store(store: Store, protocol: Protocol) -> str:
    """Return a line that says how much of a question an existing store has."""
    left = [shard for shard in store.plan.shards if not store.has_shard(shard.id)]
    failed = len(set(store.failures) & {shard.id for shard in left})
    again = f" ({failed} failed before, and would be tried again)" if failed else ""
    asked = sum(len(cell.lanes) for cell in store.plan.cells)
    runs = len({(shard.cell, lane.run) for shard in left for lane in shard.lanes})
    longer = sum(len(shard.lanes) for shard in left if shard.start)
    seconds = sum(shard_seconds(store.plan, shard, protocol) for shard in left)
    staged = in_stages(store.plan, protocol, store.baseline_mode) or protocol.refine is not None
    stage = " for the next stage" if staged and left else ""
    return (
        f"{store.directory} has {asked - runs:,} of {plural(asked, 'run')}; to train: "
        f"{plural(runs, 'run')} in {plural(len(left), 'shard')}{stage}{again}"
        + (f", of which {longer:,} go on from where they stopped" if longer else "")
        + f", about {duration(seconds)}; timed: {len(store.timings):,} of "
        f"{plural(len(store.plan.cells), 'cell')}."
    )
