"""Start Ray, or join a cluster, so that what lies in the current directory stays out of workers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from velodrome.foundation.errors import VelodromeError
from velodrome.foundation.extras import optional
from velodrome.foundation.interrupts import handlers_kept


def join_ray(what: str, *, address: str | None = None) -> tuple[Any, bool]:
    """Return the module `ray`, connected, and whether this process has to shut it down.

    Args:
      what: What needs it, for the message, such as ``"--engine ray"``.
      address: Of a cluster; ``"auto"`` finds the one of this machine. Default: that of the variable
        RAY_ADDRESS, else Ray is started on this machine.

    Raises:
      VelodromeError: Ray is not installed, or there is no cluster.
    """
    ray: Any = optional("ray", extra="ray", needed_by=what)
    optional("ray.exceptions", extra="ray", needed_by=what)
    if ray.is_initialized():
        return ray, False
    # Ray puts the driver's current directory first on the path of all workers, where a file
    # `random.py` would hide the language's; a working directory of their own keeps it out.
    with tempfile.TemporaryDirectory(prefix="velodrome-ray-") as empty:
        environment: dict[str, object] = {"working_dir": empty}
        root = Path(__file__).absolute().parents[1]
        if (root / "pyproject.toml").exists():  # a clone, which may be known by that directory only
            environment["env_vars"] = {"PYTHONPATH": str(root)}
        try:
            with handlers_kept():  # its handler of SIGTERM ends this process at once
                ray.init(
                    address=address,
                    include_dashboard=None if address else False,
                    log_to_driver=False,
                    configure_logging=False,
                    runtime_env=environment,
                )
        except ConnectionError as error:
            raise VelodromeError(
                f"{what}: no Ray cluster answers at {address}: {error}. If one runs there, it may "
                "ask for a token: set RAY_AUTH_MODE=token."
            ) from error
    return ray, True
