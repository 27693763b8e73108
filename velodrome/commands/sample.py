"""``velodrome sample``: draw task specs from the families' distributions into a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from tyro.conf import arg

import velodrome
from velodrome.commands._parsing import option, run_command
from velodrome.commands._tables import console
from velodrome.foundation.errors import SpecError
from velodrome.foundation.text import plural
from velodrome.taskgen.budget import Budget, load_profile

EXAMPLES = (
    "velodrome sample --count 8 --seed 0 --data built-in --max-mflop 6 -o tasks.json",
    "velodrome sample --count 8 --data built-in --min-parameters 1000 -o larger.json",
    "velodrome sample --count 100 --seed 1 --family transformer --device a100 -o t.json",
    "velodrome sample --count 2 --data flowers.csv -o tasks.json   # your own data",
)


def command(arguments: Sequence[str]) -> int:
    """Parse the arguments and run the command."""
    return run_command(sample, arguments, name="sample", examples=EXAMPLES)


def sample(
    *,
    count: int,
    output: Annotated[str, arg(aliases=["-o"], metavar="FILE")],
    seed: int = 0,
    family: Annotated[str | None, option("NAME")] = None,
    data: Annotated[str, arg(metavar="DATA")] = "published",
    hours: float = 1.0,
    device: Annotated[str, arg(metavar="PROFILE")] = "v100",
    max_mflop: Annotated[float | None, option("M")] = None,
    min_parameters: int = 0,
) -> int:
    """Sample task specs into a file.

    The same options give the same specs on every machine. With --family, the specs are the same
    ones that the mixture of all families takes from that family.

    Args:
      count: How many tasks.
      output: The JSON file to write.
      seed: Which draw, 0 or more.
      family: Only this family. Default: a mixture of all.
      data: Data sets to draw from: published, or built-in for those inside installed packages. Or
        one data set: a name, or the path of data of yours (see `velodrome data add`), which are
        added under the name of the file.
      hours: A task must do its steps within this many hours on the device.
      device: Device profile that predicts the time.
      max_mflop: At most this many million FLOPs a training step. Default: no limit.
      min_parameters: Draw a task again that has fewer parameters.
    """
    if count < 1:
        raise SpecError("--count", count, "an integer of at least 1")
    if seed < 0:
        raise SpecError("--seed", seed, "an integer of at least 0")
    from velodrome.commands import _own_data  # noqa: PLC0415 - imports numpy
    from velodrome.taskgen.sampler import sample_recorded  # noqa: PLC0415 - likewise

    data = _own_data.named(data)
    budget = Budget(load_profile(device), hours=hours, max_mflop=max_mflop)
    drawn = list(
        sample_recorded(
            count, seed=seed, family=family, data=data, budget=budget, least=min_parameters
        )
    )
    specs = [sampled.spec for sampled in drawn]
    recorded = []
    for sampled in drawn:
        facts = velodrome.describe(sampled.spec, device=device, hours=hours, max_mflop=max_mflop)
        kept = ("cost", "predicted_seconds", "device", "hours", "steps_allowed")
        recorded.append(
            {
                **{name: facts[name] for name in kept},
                "draws": sampled.attempts,
                "shrunk": sampled.shrunk,
                "versions": {"velodrome": velodrome.__version__},
            }
        )
    velodrome.save_specs(output, specs, recorded=recorded)
    families = sorted({spec.family for spec in specs})
    console().print(
        f"{plural(len(specs), 'task')} of {', '.join(families)}: {output}", markup=False
    )
    return 0
