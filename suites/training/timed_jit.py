"""`TimedJit`: a jitted function that knows how long it compiled, and what memory it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import jax
from jaxtyping import PyTree

from velodrome.suites.training.compilation_cache import cache_hits

Result = TypeVar("Result")


class TimedJit(Generic[Result]):
    """A jitted function that remembers how long its first call took.

    Attributes:
      seconds: Seconds of the first call: tracing, compiling (or reading from the compilation
        cache), and one execution. 0.0 before it.
      cached: Whether the program came from the compilation cache.
    """

    def __init__(
        self,
        function: Callable[..., Result],
        *,
        donate_argnums: tuple[int, ...] = (),
        quick: bool = False,
    ):
        # Programs that run once a lane are compiled with little effort: on the CPU that takes a
        # third of the time.
        quickly = quick and jax.default_backend() == "cpu"
        options = {"xla_backend_optimization_level": 0} if quickly else None
        self._call = jax.jit(function, donate_argnums=donate_argnums, compiler_options=options)
        self.seconds = 0.0
        self.cached = False

    def __call__(self, *args: PyTree) -> Result:
        if self.seconds == 0.0:
            hits, start = cache_hits(), time.perf_counter()
            result = jax.block_until_ready(self._call(*args))
            self.seconds = time.perf_counter() - start
            self.cached = cache_hits() > hits
            return result
        return self._call(*args)

    def shapes(self, *args: PyTree) -> PyTree:
        """Return the shapes and types of the results of a call; arguments may be shapes."""
        return jax.eval_shape(self._call, *args)

    def memory(self, *args: PyTree) -> tuple[int, int]:
        """Return the bytes that a call needs on each device, as the compiler has laid it out.

        Args:
          *args: Arguments of a call, or their shapes. After a call with such arguments nothing is
            compiled again.

        Returns:
          Bytes of arguments and results, and of everything between; zeros if the backend does not
          say.
        """
        found = self._call.lower(*args).compile().memory_analysis()
        if found is None:
            return 0, 0
        shared = found.alias_size_in_bytes  # results that take the place of arguments
        kept = found.argument_size_in_bytes + found.output_size_in_bytes - shared
        return int(kept), int(found.temp_size_in_bytes)
