"""Named task lists, plans, and the runner. Look suites up by name with `get` and `names`."""

from __future__ import annotations

from velodrome.suites.catalog import suites

get = suites.get
names = suites.names
register = suites.register

__all__ = ["get", "names", "register"]
