"""What is asked, and the running of it: suites, plans, the hot loop, engines.

Importing this package imports no jax; `run` and the engines do when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from suites.protocol import Protocol as Protocol
    from suites.run import run as run
    from suites.suite import Suite as Suite
    from suites.suite import load_suite as load_suite
    from suites.suite import suites as suites

_HOMES = {
    "Protocol": "suites.protocol",
    "Suite": "suites.suite",
    "load_suite": "suites.suite",
    "run": "suites.run",
    "suites": "suites.suite",
}
__all__ = ["Protocol", "Suite", "load_suite", "run", "suites"]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'suites' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
