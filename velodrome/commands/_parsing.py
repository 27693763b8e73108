"""Make a command, with help and examples, from the signature and docstring of a function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from velodrome.foundation.errors import SpecError
from velodrome.foundation.files import resolved

_registry = ConstructorRegistry()


@_registry.primitive_rule
def _path(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
    """Resolve every path that a command is given, by the one rule for paths."""
    if kind.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda given: resolved(given[0]),
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    )


def run_command(
    function: Callable[..., int], arguments: Sequence[str], *, name: str, examples: Sequence[str]
) -> int:
    """Call ``function`` with parsed arguments and return its exit code: 0 for help, 2 for misuse.

    Args:
      function: Its parameters are those of the command, and its docstring is the help.
      examples: Command lines for the help, each with a comment after two spaces and a ``#``.
    """
    text = inspect.getdoc(function) or ""
    # tyro keeps the docstring's line breaks, and breaks lines again.
    function.__doc__ = unfolded(text)
    summary = text.partition("\n\nArgs:")[0]
    listed = "\n".join(f"  {example}" for example in examples)
    try:
        return tyro.cli(
            function,
            prog=f"velodrome {name}",
            description=f"{summary}\n\nexamples:\n{listed}",
            args=list(arguments),
            config=(tyro.conf.FlagCreatePairsOff,),
            registry=_registry,
        )
    except SystemExit as exit_request:
        return exit_request.code if isinstance(exit_request.code, int) else 2


def unfolded(docstring: str) -> str:
    """Join the lines of each argument's description in a docstring of Google's style."""
    before, heading, arguments = docstring.partition("\n\nArgs:\n")
    return before + heading + re.sub(r"\n {3,}(?=\S)", " ", arguments)


def option(metavar: str) -> object:
    """Annotate an option whose description says what happens without it."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


def names(text: str | None) -> list[str] | None:
    """Split ``"velo,adam"`` into names; None stays None."""
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str | None, field: str) -> list[float] | None:
    """Split ``"1e-3,1e-2"`` into numbers; None stays None.

    Raises:
      SpecError: A part is not a number; the message names ``field``.
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise SpecError(field, text, "numbers with commas between, such as 1e-3,3e-3") from error
