"""The command line ``velodrome``: find the command, run it, and report errors in one line.

Only the module of the given command is imported, and it imports numpy, pandas or jax when it runs:
so help is quick, and ``velodrome report`` needs no jax.
"""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword

import velodrome
from velodrome.foundation.errors import UnknownNameError, VelodromeError, wants_traceback
from velodrome.foundation.files import cache_hint
from velodrome.foundation.interrupts import terminated_as_interrupted
from velodrome.foundation.streams import drop_output, prepare_streams

#: Command -> what it does, in the order of the help. Each has a module in velodrome.commands.
COMMANDS = {
    "list": "List families, datasets, optimizers, suites, or tasks.",
    "sample": "Sample task specs into a file.",
    "show": "Show a task: its spec, size, cost, and predicted time.",
    "race": "Race an optimizer against the stored field of a suite.",
    "run": "Train the tasks of a suite with its optimizers; resumable.",
    "import": "Put curves that were made elsewhere into a store.",
    "status": "Show how far a store is, and who works in it.",
    "report": "Draw tables, figures, and a page from stores of results.",
    "retime": "Measure again how long a training step takes.",
    "compact": "Pack the many files of a store into few, or convert an older store.",
    "export": "Write results for other programs: tables, LaTeX, TensorBoard.",
    "compare": "Compare two stores of one suite.",
    "reference": "Fetch the published curves of Adam, for comparison with ours.",
    "check": "Put a task, data set, family, or optimizer through its contract tests.",
    "data": "Show which data sets are here; prepare a published one.",
    "weights": "List, fetch, or verify the weights of learned optimizers.",
    "calibrate": "Measure this machine, for predictions of seconds.",
    "metatrain": "Train a learned optimizer.",
}

_RESUMABLE = ("run", "race", "metatrain", "data", "weights", "reference")
_ERROR, _INTERRUPTED, _PIPE_CLOSED = 2, 130, 141

_EXAMPLES = """\
examples:
  velodrome sample --count 4 --seed 0 --data built-in --max-mflop 6 -o tasks.json
  velodrome run tasks.json --out runs/mine --optimizers velo,adam --steps 200
  velodrome report runs/mine

`velodrome COMMAND --help` explains a command, with examples.
Set VELODROME_TRACEBACK=1 to see where an error comes from."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default with the arguments of this process.

    Returns:
      The exit code: 0 for success, 1 if a check or a run failed, 2 if the user or the machine is
      at fault, 130 after Ctrl-C or SIGTERM, 141 if the reader of a pipe has closed it.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = (given[0], given[1:]) if given else ("--help", [])
    prepare_streams()
    try:
        with terminated_as_interrupted():
            code = _dispatch(name, rest)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(_interrupted(name, given), file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has closed it, as `head` does
        drop_output()
        return _PIPE_CLOSED
    except VelodromeError as error:
        return _report(" ".join(str(error).split()))
    except OSError as error:
        if error.filename is None and error.strerror is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        hint = cache_hint(error.filename) if isinstance(error.filename, str) else ""
        drop_output()
        return _report(f"{where}{error.strerror}.{hint}")


def _dispatch(name: str, rest: list[str]) -> int:
    if name in ("-h", "--help", "help"):
        print(_help())
        return 0
    if name in ("-V", "--version"):
        print(f"velodrome {velodrome.__version__}")
        return 0
    if name not in COMMANDS:
        raise UnknownNameError("command", name, COMMANDS)
    return import_module(module_of(name)).command(rest)


def module_of(command: str) -> str:
    """Return the module of a command; a keyword of Python gets an underscore."""
    return f"velodrome.commands.{command}{'_' if iskeyword(command) else ''}"


def _report(message: str) -> int:
    """Print the error that is being handled as one line, and return the exit code."""
    if wants_traceback():
        traceback.print_exc()
    print(f"velodrome: {message}", file=sys.stderr)
    return _ERROR


def _interrupted(name: str, given: Sequence[str]) -> str:
    if name not in _RESUMABLE:
        return "velodrome: interrupted."
    return (
        "velodrome: interrupted. What was finished is kept; to go on from there, run the same "
        f"command again: velodrome {shlex.join(word for word in given if word != '--restart')}"
    )


def _help() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return (
        "usage: velodrome COMMAND [OPTIONS]\n\n"
        "Sample training tasks, train them with learned and tuned optimizers, draw the speedups."
        f"\n\ncommands:\n{commands}\n\n{_EXAMPLES}"
    )
