"""Draw a picture of each definition of a speedup, and of a censored one, from published curves.

``python scripts/speedup_pictures.py`` writes ``docs/images/definition-*.png`` and ``censored.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from velodrome.results.report.figures.style import BASELINE, FAINT, PALETTE
from velodrome.results.speedup.baseline import BaselineRuns
from velodrome.results.speedup.definitions import DEFINITIONS, Definition
from velodrome.results.speedup.speedup import BaselineEnvelope, final_losses
from velodrome.results.store.curves import Sweep
from velodrome.results.store.store import Store

ROOT = Path(__file__).parents[1]
STORES = ROOT / "results" / "published" / "heldout-40"
IMAGES = ROOT / "docs" / "images"
TASK = "mlp-03-mnist5k"
CENSORED = "cnn-05-mnist5k"


def sweep_of(store: str, task: str) -> Sweep:
    """Return the published runs of a task."""
    cells = Store.open(STORES / store, read_only=True).cells()
    return next(cell for cell in cells if cell.task.label == task).curves().sweep()


def draw(axes: Axes, definition: Definition, adam: Sweep, velo: Sweep) -> None:
    """Draw the curves as the definition takes them, and the speedup as an arrow."""
    compared = BaselineEnvelope(BaselineRuns(adam), definition)
    evaluations = len(velo.steps)
    for rate in compared.rates(evaluations):
        axes.plot(adam.steps, rate, color=FAINT, linewidth=0.8)
    axes.plot(
        compared.steps, compared.curve(evaluations), color=BASELINE, linewidth=2,
        label="Adam, one rate" if definition.envelope == "single" else "Adam, best at each step",
    )  # fmt: skip
    smoothed = definition.smooth_candidate(velo.losses[0])
    last = final_losses(velo, definition, horizon=velo.horizon)[0]
    if definition.seeds == "mean-curve":
        smoothed, last = smoothed.mean(axis=0, keepdims=True), last.mean(keepdims=True)
    for number, curve in enumerate(smoothed):
        label = "VeLO, mean of seeds" if len(smoothed) == 1 else "VeLO, each seed"
        axes.plot(
            velo.steps, curve, color=PALETTE[0], linewidth=1, label=label if not number else None
        )
    found = compared.speedup_of(velo)
    loss = sorted(last)[len(last) // 2]
    axes.annotate(
        "", xy=(found.ratio * velo.horizon, loss), xytext=(velo.horizon, loss),
        arrowprops={"arrowstyle": "->", "color": PALETTE[1], "linewidth": 2},
    )  # fmt: skip
    axes.set_title(f"{definition.name}: {found.text}")


def save(name: str, definition: Definition, task: str, limits: tuple[float, float, float]) -> None:
    """Draw a picture from step 0 to the first limit, and between the two others."""
    adam, velo = sweep_of("adam", task), sweep_of("velo", task)
    figure = Figure(figsize=(6, 3.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    draw(axes, definition, adam, velo)
    last, low, high = limits
    axes.set(xlim=(0, last), ylim=(low, high), xlabel="steps", ylabel="training loss")
    axes.axvline(velo.horizon, color=FAINT, linewidth=0.8, linestyle="--")
    axes.legend(loc="upper right", framealpha=1, edgecolor="none")
    figure.savefig(IMAGES / f"{name}.png")


def main() -> int:
    for name, definition in DEFINITIONS.items():
        save(f"definition-{name}", definition, TASK, (6_500, 0.45, 1.0))
    save("censored", DEFINITIONS["default"], CENSORED, (20_500, 1.0, 2.3))
    return 0


if __name__ == "__main__":
    sys.exit(main())
