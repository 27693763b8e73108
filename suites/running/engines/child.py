"""A worker process as the engine that starts it sees it: settings go in, events come out.

`worker` is what runs in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

#: Modules of this process's path come last: they hide none of the language or of a package.
_PROGRAM = """
import json, sys
sys.path += [path for path in json.loads(sys.argv[1]) if path not in sys.path]
from velodrome.suites.running.engines.worker import main
sys.exit(main())
"""

#: An answer of a worker: an object with the key ``event``.
Event = dict[str, Any]


class Child:
    """A worker process and the thread that listens to it.

    Args:
      number: Its number among all that were started.
      slot: Which of those that run at the same time it is.
      settings: The first line that it reads; orders follow.
      events: Where its answers go, with its number; the last one is ``exited``.

    Attributes:
      orders: How many it has that it has not done.
      tasks: Tasks whose programs it has compiled.
    """

    def __init__(
        self,
        number: int,
        slot: int,
        settings: Mapping[str, object],
        *,
        environment: Mapping[str, str],
        events: queue.Queue[tuple[int, Event]],
    ):
        self.slot = slot
        self.ready = False
        self.orders = 0
        self.tasks: set[int] = set()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as self
        self.process = subprocess.Popen(
            # Safe path: a `random.py` in the current directory is not the language's.
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps(_path())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            text=True,
            encoding="utf-8",
        )
        self._listen = threading.Thread(target=self._forward, args=(number, events), daemon=True)
        self._listen.start()
        self._tell(settings)

    @property
    def busy(self) -> bool:
        return self.orders > 0

    def order(self, jobs: Mapping[str, object]) -> None:
        """Give it jobs; it answers ``idle`` when none of them is left."""
        self.orders += 1
        self._tell(jobs)

    def hang_up(self) -> None:
        """Close the worker's input: it saves and stops."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def end(self, patience: float) -> None:
        """Wait for the process to end; kill it after ``patience`` seconds."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._listen.join()
        self._log.close()

    def last_words(self) -> str:
        """Return the end of what the process wrote to its standard error."""
        if self._log.closed:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 2000))
        return self._log.read().decode(errors="replace").strip()

    def _tell(self, line: Mapping[str, object]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then it has died, and its last event says so
            self.process.stdin.write(json.dumps(line) + "\n")
            self.process.stdin.flush()

    def _forward(self, number: int, events: queue.Queue[tuple[int, Event]]) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as answers:
            for line in answers:
                if not line.endswith("\n"):
                    break  # killed in the middle of a line
                event = json.loads(line)
                self.ready = self.ready or event["event"] == "ready"
                events.put((number, event))
        events.put((number, {"event": "exited", "status": self.process.wait()}))


def _path() -> list[str]:
    """Return where this process finds modules: its workers look there too."""
    return [str(Path(path).absolute()) for path in sys.path]
