"""What a baseline's sweep still needs on one task: a function of the curves that there are."""

from __future__ import annotations

from velodrome.foundation.canonical import canonical_json
from velodrome.results.speedup.comparison import TaskComparison
from velodrome.results.speedup.stages import Staging, stage_ends


def still_needed(task: TaskComparison, staging: Staging) -> dict[str, int]:
    """Return up to which step each point of the sweep has to be run next; empty if none has.

    Points are canonical JSON, as those of ``LaneInfo``. The first stage ends at the candidates'
    horizon, and all others wait until every candidate has been run. Without a candidate, nothing
    says how far is enough.
    """
    baseline, standing = task.baseline, task.standing
    if baseline is None:
        return {}
    points = list(dict.fromkeys(lane.point for lane in baseline.planned))
    first, *_ = ends = stage_ends(task.horizon, baseline.horizon, every=staging.every)
    if staging.mode.kind == "exhaustive" or not (task.outcomes or task.decided):
        return dict.fromkeys(points, baseline.horizon)
    if task.whole is None or standing is None:
        return dict.fromkeys(points, first)
    if task.decided or any(outcome.status == "missing" for outcome in task.outcomes):
        return {}
    end = next(end for end in ends if end > standing.end)
    going = zip(task.whole.sweep.points, standing.going, strict=True)
    return {canonical_json(dict(point)): end for point, goes_on in going if goes_on}
