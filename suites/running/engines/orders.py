"""The orders of a worker process, as they come in while it works."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

#: Jobs, and what a worker needs to know of the run that they belong to; as `processes` writes it.
Order = Mapping[str, Any]


class Orders:
    """An iterator over orders, each of which is there when its line has been read.

    Attributes:
      stop: Set at the end of the input.
      news: Set when a line has come, or the end.
    """

    def __init__(self) -> None:
        self.stop, self.news = threading.Event(), threading.Event()
        self._waiting: queue.SimpleQueue[Order | None] = queue.SimpleQueue()

    def take(self, source: TextIO) -> None:
        """Read all lines; for a thread."""
        for line in source:
            if line.endswith("\n"):  # else its writer was killed in the middle of it
                self._waiting.put(json.loads(line))
                self.news.set()
        self.stop.set()
        self.news.set()
        self._waiting.put(None)

    def __iter__(self) -> Iterator[Order]:
        return iter(self._waiting.get, None)
