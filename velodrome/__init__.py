"""Sample training tasks, train them with learned and tuned optimizers, draw the speedups.

Everything a user needs is here, and nothing is loaded before it is used: ``import velodrome``
imports no jax.

Example:
  >>> import velodrome
  >>> spec = velodrome.sample(1, seed=0, family="mlp", data="built-in")[0]
  >>> velodrome.cost(spec).params > 0
  True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foundation.errors import DataError as DataError
    from foundation.errors import PlanError as PlanError
    from foundation.errors import SpecError as SpecError
    from foundation.errors import StoreError as StoreError
    from foundation.errors import UnknownNameError as UnknownNameError
    from foundation.errors import VelodromeError as VelodromeError
    from foundation.errors import WeightsError as WeightsError
    from foundation.errors import WriteError as WriteError
    from optimizers.metatrain import MetaTrainConfig as MetaTrainConfig
    from optimizers.metatrain import SearchConfig as SearchConfig
    from optimizers.metatrain import metatrain as metatrain
    from optimizers.metatrain import search_numbers as search_numbers
    from optimizers.registry import OptimizerSpec as OptimizerSpec
    from optimizers.registry import optimizers as optimizers
    from optimizers.velo import velo as velo
    from optimizers.velo import velo_from_theta as velo_from_theta
    from optimizers.velo.fetch import fetch as fetch_weights  # noqa: F401 - a public name
    from optimizers.velo.store import load_weights as load_weights
    from optimizers.velo.store import save_weights as save_weights
    from optimizers.velo.weights import VeLOWeights as VeLOWeights
    from results.export import write_export as export  # noqa: F401 - a public name
    from results.report import write_report as report  # noqa: F401 - a public name
    from results.report.inline import figures as figures
    from results.report.inline import read_results as read_results
    from results.speedup import speedup as speedup
    from results.store import Store as Store
    from suites.protocol import Protocol as Protocol
    from suites.run import run as run
    from suites.suite import Suite as Suite
    from suites.suite import load_suite as load_suite
    from suites.suite import suites as suites
    from suites.train import train as train
    from taskgen import build as build
    from taskgen import cost as cost
    from taskgen import describe as describe
    from taskgen.budget import DeviceProfile as DeviceProfile
    from taskgen.budget import load_profile as load_profile
    from taskgen.budget import predict_seconds as predict_seconds
    from taskgen.budget import steps_allowed as steps_allowed
    from taskgen.cost import Cost as Cost
    from taskgen.data import Dataset as Dataset
    from taskgen.data import DatasetInfo as DatasetInfo
    from taskgen.data import datasets as datasets
    from taskgen.data import hash_arrays as hash_arrays
    from taskgen.data.source import open_source as open_source
    from taskgen.declare import family as family
    from taskgen.families import families as families
    from taskgen.families.base import Family as Family
    from taskgen.families.base import ImageView as ImageView
    from taskgen.families.base import TextView as TextView
    from taskgen.sampler import sample as sample
    from taskgen.space import boolean as boolean
    from taskgen.space import choice as choice
    from taskgen.space import dynamic as dynamic
    from taskgen.space import log_float as log_float
    from taskgen.space import log_int as log_int
    from taskgen.space import static as static
    from taskgen.space import uniform_float as uniform_float
    from taskgen.space import uniform_int as uniform_int
    from taskgen.spec import DataSpec as DataSpec
    from taskgen.spec import TaskSpec as TaskSpec
    from taskgen.specfile import load_specs as load_specs
    from taskgen.specfile import save_specs as save_specs
    from taskgen.task import Task as Task
    from velodrome.check import check_family as check_family
    from velodrome.check import check_optimizer as check_optimizer
    from velodrome.check import check_task as check_task

__version__ = "0.1.0"

# Public name -> "module" or "module:name there", imported when first used.
_HOMES: dict[str, str] = {
    **dict.fromkeys(
        (
            "DataError",
            "PlanError",
            "SpecError",
            "StoreError",
            "UnknownNameError",
            "VelodromeError",
            "WeightsError",
            "WriteError",
        ),
        "foundation.errors",
    ),
    **dict.fromkeys(
        ("MetaTrainConfig", "SearchConfig", "metatrain", "search_numbers"), "optimizers.metatrain"
    ),
    **dict.fromkeys(("OptimizerSpec", "optimizers"), "optimizers.registry"),
    "fetch_weights": "optimizers.velo.fetch:fetch",
    **dict.fromkeys(("load_weights", "save_weights"), "optimizers.velo.store"),
    **dict.fromkeys(("velo", "velo_from_theta"), "optimizers.velo"),
    "VeLOWeights": "optimizers.velo.weights",
    "export": "results.export:write_export",
    "report": "results.report:write_report",
    **dict.fromkeys(("figures", "read_results"), "results.report.inline"),
    "speedup": "results.speedup",
    "Store": "results.store",
    "Protocol": "suites.protocol",
    "run": "suites.run",
    "train": "suites.train",
    **dict.fromkeys(("Suite", "load_suite", "suites"), "suites.suite"),
    **dict.fromkeys(("build", "cost", "describe"), "taskgen"),
    **dict.fromkeys(
        ("DeviceProfile", "load_profile", "predict_seconds", "steps_allowed"), "taskgen.budget"
    ),
    "Cost": "taskgen.cost",
    **dict.fromkeys(("Dataset", "DatasetInfo", "datasets", "hash_arrays"), "taskgen.data"),
    "open_source": "taskgen.data.source",
    **dict.fromkeys(("Family", "ImageView", "TextView"), "taskgen.families.base"),
    "family": "taskgen.declare",
    "families": "taskgen.families",
    "sample": "taskgen.sampler",
    **dict.fromkeys(
        (
            "boolean",
            "choice",
            "dynamic",
            "log_float",
            "log_int",
            "static",
            "uniform_float",
            "uniform_int",
        ),
        "taskgen.space",
    ),
    **dict.fromkeys(("DataSpec", "TaskSpec"), "taskgen.spec"),
    **dict.fromkeys(("load_specs", "save_specs"), "taskgen.specfile"),
    "Task": "taskgen.task",
    **dict.fromkeys(("check_family", "check_optimizer", "check_task"), "velodrome.check"),
}

__all__ = ["__version__", *sorted(_HOMES)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Imports a public name from its home when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'velodrome' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    value = getattr(import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Lists the public names, whether they are loaded or not."""
    return sorted(__all__)
