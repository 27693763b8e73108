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
# # Quickstart
#
# Nobody tunes an optimizer on one task and believes the result on another. So velodrome draws its
# tasks at random, and asks one question of each: how many steps does a *tuned* Adam need to get
# where the other optimizer got?
#
# This notebook draws tasks, trains one of them twice, and then runs a small race properly. It needs
# no accelerator and no download, and takes less than a minute.

# %%
from dataclasses import asdict

import pandas as pd

import velodrome

# %% [markdown]
# ## Draw some tasks
#
# A task is a network, a data set and a batch size. `sample` draws all of it from published
# distributions; the same seed gives the same tasks on every machine. `data="built-in"` keeps to
# real data that are installed already, and `max_mflop` keeps to small tasks. Leave both out, and
# you draw the tasks that the paper's optimizer was trained for.

# %%
specs = velodrome.sample(3, seed=0, family="mlp", data="built-in", max_mflop=0.5)
pd.DataFrame(
    {"data": spec.data.name, "batch size": spec.batch_size, **asdict(spec.config)} for spec in specs
).set_axis([spec.label for spec in specs]).iloc[:, :6]

# %% [markdown]
# The cost of a training step is known in closed form, before anything is built. By default every
# task that is drawn can make 10,000 steps in an hour on one V100. `predicted_seconds` is the
# prediction for one step there.

# %%
costs = [velodrome.cost(spec) for spec in specs]
v100 = velodrome.load_profile("v100")
pd.DataFrame(
    {
        "parameters": [cost.params for cost in costs],
        "MFLOP a step": [cost.flops / 1e6 for cost in costs],
        "predicted_seconds": [velodrome.predict_seconds(cost, v100) for cost in costs],
    },
    index=[spec.label for spec in specs],
).round(6)

# %% [markdown]
# ## Train one of them, twice
#
# `train` takes any optax optimizer, or the name of one. VeLO is a learned optimizer: a network that
# makes the updates, and that has no learning rate. Its default weights, `velo-tiny`, are small ones
# of our own and not those of the paper, so what it does here says nothing about those
# (`velodrome weights fetch velo` gets them).

# %%
task, steps = specs[0], 200
adam = velodrome.train(task, "adam", steps=steps, learning_rate=1e-3)
velo = velodrome.train(task, "velo", steps=steps)
curves = pd.DataFrame({"Adam, rate 0.001": adam["train loss"], "VeLO": velo["train loss"]})
axes = curves.plot(title=task.label, ylabel="train loss", figsize=(5, 3))

# %% [markdown]
# The picture is clear, and worth little: 0.001 was a guess. Adam at another rate is another curve.

# %% [markdown]
# ## A race that counts
#
# In a *suite* Adam is swept over learning rates, with several seeds, and runs longer than the
# candidate. At every step it counts with the rate that is best there. Three rates and two seeds are
# still few: the built-in suite `demo` has fifteen and three.

# %%
protocol = velodrome.Protocol(
    steps=steps, seeds=2, baseline_multiple=3, learning_rates=(1e-3, 1e-2, 1e-1)
)
suite = velodrome.Suite("quickstart", tuple(specs[:2]), protocol, ("adam", "velo"))
run = velodrome.run(suite, "runs/quickstart", workers=0, progress="silent")
print(f"{run.done} shards trained, {run.already} were there, {len(run.failed or {})} failed")

# %% [markdown]
# Run the cell again, and nothing is trained again, because the folder keeps what it has. (Without
# `workers=0` every core gets its own process, which pays for longer runs.)
#
# From here on everything comes out of that folder.

# %%
results = velodrome.read_results("runs/quickstart")
columns = {
    "best_rate": "Adam's best rate",
    "baseline_train": "Adam's loss",
    "candidate_train": "VeLO's loss",
    "speedup_steps_default": "speedup in steps",
    "censored_default": "censored",
    "speedup_seconds_default": "in seconds",
}
results.summary.set_index("task")[list(columns)].rename(columns=columns).round(4)

# %% [markdown]
# A speedup of 2 in steps means: Adam, at the best of its rates, needs twice as many steps as VeLO
# to reach VeLO's last loss. Below 1, VeLO was the slower one. Adam ran three times as long, so
# nothing above 3 can be seen. A speedup that gets there is *censored* (`right`): it is at least 3.
# In seconds, the network inside VeLO has its price.

# %%
figures = velodrome.figures(results)
figures["learning_curves"]

# %% [markdown]
# Thin grey lines are Adam at each rate; the thick one is the lowest loss of any rate so far, and
# the dashed one the best single rate. The blue lines are the seeds of VeLO, and the number above a
# panel is its speedup. The first panel is the same task as in the picture before.
#
# ## Where to go from here
#
# - `velodrome.report("runs/quickstart")` writes all figures, their numbers, and one page of HTML
#   that has everything.
# - The notebook `speedup_plots` shows all that is in such a folder.
# - The notebook `add_a_task_family` adds your own network, data and optimizer.
# - `make demo` runs this race on eight tasks of four families.
