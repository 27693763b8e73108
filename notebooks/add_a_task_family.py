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
# # Add a task family
#
# If your networks are not among the tasks, add them. Then every optimizer can race on them, yours
# and everybody else's. This notebook makes a family, a data set and an optimizer, and checks them.
# Then it races the optimizer against Adam on both. None of it touches velodrome's own files.

# %%
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
from flax import nnx

import velodrome

# %% [markdown]
# ## The family
#
# A family is a few fields and a network. Each field says what the sampler draws it from. `static`
# fields fix shapes, and with them the compiled program. `dynamic` fields are numbers that may
# differ between tasks that share a program. So they reach the network as `dynamic["name"]`, and
# must not be kept in it.
#
# Ours is one hidden layer with gates: half of it decides how much of the other half passes.


# %%
@velodrome.family(
    "gated",
    width=velodrome.static(velodrome.log_int(4, 32), default=16),
    sharpness=velodrome.dynamic(velodrome.log_float(0.5, 4.0), default=1.0),
)
class Gated(nnx.Module):
    def __init__(self, config, view, *, rngs, dynamic):
        self.hidden = nnx.Linear(view.pixels, 2 * config.width, rngs=rngs)
        self.output = nnx.Linear(config.width, view.num_classes, rngs=rngs)

    def __call__(self, image, *, dynamic):
        value, gate = jnp.split(self.hidden(image.reshape(len(image), -1)), 2, axis=-1)
        return self.output(value * nnx.sigmoid(dynamic["sharpness"] * gate))


# %% [markdown]
# That is all. The loss, the metrics and the cost follow from the kind of data, and the family can
# be sampled like any other.

# %%
specs = velodrome.sample(3, seed=0, family="gated", data="built-in", max_mflop=1)
pd.DataFrame(
    {
        "task": spec.label,
        "data": spec.data.name,
        "batch size": spec.batch_size,
        "width": spec.config.width,
        "sharpness": spec.config.sharpness,
        "parameters": velodrome.cost(spec).params,
    }
    for spec in specs
).round(2)

# %% [markdown]
# ## The contract
#
# Other people's code will rely on your family: that the same seed gives the same numbers, that it
# survives `vmap` and `scan`, that dynamic values may be traced, that it can be trained at all. The
# checks try each of these. Where all is well, `problem` stays empty.

# %%
checks = pd.DataFrame(velodrome.check_family("gated"))
checks.set_index("name")[["demand", "problem"]]

# %% [markdown]
# ## Data of your own
#
# A data set is some facts and a function that loads a split. The hash of the arrays is one of the
# facts. So results say which data they are from, and other data under the same name are refused.
# Ours are generated: their provenance is `stand-in`, and every table and figure will say so.

# %%
SIZES = {"train": 512, "heldout": 128}


def load_stripes(split):
    number = np.arange(SIZES[split]) + (SIZES["train"] if split == "heldout" else 0)
    label = number % 4
    stripe = (np.arange(12) + number[:, None]) // (label[:, None] + 1) % 2
    image = np.repeat(stripe[:, None, :, None], 12, axis=1)
    wrong = np.random.default_rng(SIZES[split]).random(image.shape) < 0.4
    return {"image": (255 * (image ^ wrong)).astype(np.uint8), "label": label.astype(np.int32)}


stripes = velodrome.Dataset(
    velodrome.DatasetInfo(
        name="stripes",
        kind="image",
        shape=(12, 12, 1),
        num_classes=4,
        provenance="stand-in",
        origin="generated: stripes as wide as the label, with two pixels in five wrong",
        licence="none needed",
        split_sizes=SIZES,
        split_hashes={split: velodrome.hash_arrays(load_stripes(split)) for split in SIZES},
    ),
    load_stripes,
)
dataset = velodrome.datasets.register("stripes", stripes)
on_stripes = velodrome.TaskSpec("gated", {"width": 8}, velodrome.DataSpec("stripes"), 32)

# %% [markdown]
# ## An optimizer of your own
#
# Any optax transformation will do. One that optax has needs no registration: `"optax:lion"` is a
# name. To be swept over a grid, an optimizer must declare its hyperparameters.


# %%
def make_signum(learning_rate, decay):
    return optax.chain(
        optax.trace(decay), optax.scale_by_sign(), optax.scale_by_learning_rate(learning_rate)
    )


signum = velodrome.optimizers.register(
    "signum",
    velodrome.OptimizerSpec(
        name="signum",
        label="Signum",
        factory=make_signum,
        grid={"learning_rate": (1e-4, 1e-3, 1e-2), "decay": (0.9,)},
        traced=frozenset({"learning_rate", "decay"}),
    ),
)

# %% [markdown]
# ## The race
#
# The `learning_rates` of a protocol replace those of every optimizer that has any, so that both are
# tuned alike. Worker processes would not know what only this notebook defines, hence `workers=0`.

# %%
protocol = velodrome.Protocol(
    steps=100, seeds=2, baseline_multiple=3, learning_rates=(1e-3, 1e-2, 1e-1)
)
suite = velodrome.Suite("gated", (specs[0], on_stripes), protocol, ("adam", "signum"))
run = velodrome.run(suite, "runs/gated", workers=0, timing=False, progress="silent")
results = velodrome.read_results("runs/gated")
results.summary.set_index("task")[
    ["data", "provenance", "baseline_train", "candidate_train", "speedup_steps_default"]
].round(4)

# %%
velodrome.figures(results)["learning_curves"]

# %% [markdown]
# ## As a package
#
# In a notebook a family lives as long as the notebook. In a package it is there for everybody who
# installs it, and also for `velodrome run` and for worker processes. An *entry point* says where:
#
# ```toml
# [project.entry-points."velodrome.families"]
# gated = "my_package.gated:Gated"
#
# [project.entry-points."velodrome.datasets"]
# stripes = "my_package.stripes:stripes"
#
# [project.entry-points."velodrome.optimizers"]
# signum = "my_package.signum:signum"
# ```
#
# In a package you make the family without registering it:
# `velodrome.Family(name=..., config=..., network=...)`, with its config as a frozen dataclass.
# CONTRIBUTING.md has that form, and `tests/plugin_package` is a whole package. Without a package,
# the command line takes `path/to/file.py:object` wherever it takes a name:
#
# ```
# velodrome check family gated.py:family
# ```
