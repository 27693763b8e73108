"""Two tasks of the new family."""

from __future__ import annotations

import velodrome


def suite():
    # A function, so that importing this module builds nothing.
    tasks = tuple(
        velodrome.TaskSpec("logistic", {"temperature": t}, velodrome.DataSpec("digits"), 32)
        for t in (0.5, 2.0)
    )
    protocol = velodrome.Protocol(
        steps=20, seeds=1, baseline_multiple=2, heldout_every=20, eval_examples=64
    )
    return velodrome.Suite("plugged-in", tasks, protocol, ("adam", "signum"))
