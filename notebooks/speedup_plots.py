# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Speedup plots
#
# A run leaves a *store*, a folder of curves. This notebook goes from a store to the figures of a
# paper, and behind them to the numbers, so that you can draw your own or doubt ours.
#
# Set the environment variable `VELODROME_STORE` to the path of your store (`make demo` makes one in
# `demo`). Without it, this notebook makes a very small one: three tasks, Adam at three rates, VeLO
# with the small built-in weights, two seeds. That is enough to see how it works, and too little to
# say anything about either optimizer.

# %%
import os

import pandas as pd

import velodrome

# %%
store = os.environ.get("VELODROME_STORE")
if not store:
    store = "runs/speedup-plots"
    tasks = velodrome.sample(2, seed=0, family="mlp", data="built-in", max_mflop=0.5)
    tasks += velodrome.sample(1, seed=6, family="cnn", data="built-in", max_mflop=3)
    protocol = velodrome.Protocol(
        steps=100, seeds=2, baseline_multiple=4, learning_rates=(1e-3, 1e-2, 1e-1)
    )
    suite = velodrome.Suite("three tasks", tuple(tasks), protocol, ("adam", "velo"))
    velodrome.run(suite, store, baseline="exhaustive", workers=0, progress="silent")

results = velodrome.read_results(store)
if not results.headline["tasks"].any():
    raise velodrome.StoreError(f"{store} has no speedups yet: no sweep of the baseline is complete")
figures = velodrome.figures(results)
print(results.context.line)

# %% [markdown]
# `results` holds tidy tables, and `figures` holds what can be drawn from them. Nothing is written
# to disk: `velodrome.report(store)` does that, and `velodrome.export(store)` writes tables for
# other programs.

# %%
pd.Series({name: len(table) for name, table in results.tables().items()}, name="rows")

# %% [markdown]
# ## The headline
#
# The headline has the median over tasks, and the interquartile mean, which also uses how far above
# or below the other tasks are. Each comes with two 95% intervals: `low` to `high` is for these
# tasks and other seeds, and the wider one is for other tasks too. Quote the second if you claim
# something about tasks in general. Tasks on which Adam has run out of room (*saturated*), or on
# which nobody learns (*no progress*), are left out and counted. Fewer than five tasks have no
# interval for other tasks, and no figure: then look at the tasks one by one.

# %%
chosen = results.headline.query("scope == 'headline' and statistic in ('median', 'iqm')")
chosen.set_index(["label", "split", "unit", "statistic"])[
    ["value", "low", "high", "low_new_tasks", "high_new_tasks", "lower_bound", "tasks"]
].round(2)

# %%
figures.get("headline")

# %% [markdown]
# ## The sorted curve
#
# The tasks stand from the least to the most favourable, as in the first figure of the VeLO paper.
# Read the curve from the line at 1x: tasks to the left of the crossing were slower than tuned Adam.
# Triangles are at least as high as drawn, because Adam's run ended before it got there.

# %%
figures["speedup_steps"]

# %% [markdown]
# Steps are not what you wait for. Here is the same curve in seconds, which include the optimizer's
# own work. On tasks as small as ours that is most of a step.

# %%
figures["speedup_seconds"]

# %% [markdown]
# ## By family
#
# One number over all tasks hides who wins where.

# %%
figures["families_steps"]

# %%
results.families.query("unit == 'steps'").set_index(["label", "family"])[
    ["tasks", "each", "median", "low", "high", "worst_task", "worst"]
].round(2)

# %% [markdown]
# ## The curves behind it
#
# When a number surprises you, look at the curves.

# %%
next(figure for name, figure in figures.items() if name.startswith("learning_curves"))

# %% [markdown]
# ## Three definitions
#
# "How many times faster" needs a definition, and there are several. `default` takes the best rate
# at every step and smooths both sides alike. `paper` follows the evaluation of the VeLO paper, made
# for runs of thousands of steps; in one as short as ours its smoothing lags on Adam's side alone,
# and flatters the candidate. `strict` takes the one rate that is best at the end, like somebody who
# tuned Adam once. If your conclusion depends on the definition, say so.
#
# The store above has Adam's whole sweep (`baseline="exhaustive"`). A sweep that stops as soon as
# `default` is decided, as `make demo` makes it, has no `strict`, and not always a `paper`.

# %%
results.definitions.set_index(["label", "definition"]).round(3)

# %%
first = results.context.labels[0]
mine = results.summary[results.summary["label"] == first].set_index("task")
names = ["default", "paper", "strict"]
compared = mine[[f"speedup_steps_{name}" for name in names]].set_axis(names, axis=1)
compared = compared.dropna(axis=1, how="all")
names = list(compared)
axes = compared.sort_values("default").plot(
    style=["o", "^", "s"][: len(names)],
    fillstyle="none",
    logy=True,
    xticks=range(len(compared)),
    rot=90,
)
axes.set(xlabel="", ylabel=f"speedup of {first} in steps")
line = axes.axhline(1, color="black", linewidth=0.8)
legend = axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)

# %% [markdown]
# ## By hand
#
# Nothing is hidden between the curves and the speedup: take the raw curves of one task, and compare
# them yourself. `curves()` gives every run as it was measured, and `speedup` takes any two.

# %%
cells = list(velodrome.Store.open(store, read_only=True).cells())
task = compared.dropna().index[0]
here = [cell for cell in cells if cell.task.label == task]
candidate = next(cell for cell in here if cell.label == first)
baseline = max(
    (cell for cell in here if cell.name == results.context.protocol["baseline"]),
    key=lambda cell: cell.horizon,
)
by_hand = {
    name: velodrome.speedup(baseline.curves(), candidate.curves(), definition=name)
    for name in names
}
ratio = pd.Series({name: found.ratio for name, found in by_hand.items()})
pd.DataFrame({"by hand": ratio, "in the report": compared.loc[task]}).round(3)

# %% [markdown]
# And here are the seeds one by one. The intervals are made from them:

# %%
pd.DataFrame({"speedup": by_hand["default"].per_seed}, index=by_hand["default"].seeds)

# %% [markdown]
# ## A figure of your own
#
# Every figure has its numbers as a table, and is a figure of matplotlib that you can change.

# %%
table = figures["speedup_steps"].table
ratios = pd.Index([0.25, 0.5, 1, 2, 4], name="share of tasks faster than")
pd.DataFrame(
    {
        label: [(rows["speedup"] > ratio).mean() for ratio in ratios]
        for label, rows in table.groupby("label")
    },
    index=ratios,
).round(2)

# %%
figure = figures["speedup_steps"].figure()
title = figure.axes[0].set_title("ours, with a title")
figure.savefig("speedup.pdf")
