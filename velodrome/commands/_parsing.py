"""Turns the signature and docstring of a function into a command with help and examples."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from velodrome.foundation.errors import SpecError


def run_command(
    function: Callable[..., int], arguments: Sequence[str], *, name: str, examples: Sequence[str]
) -> int:
    """Calls ``function`` with parsed arguments and returns its exit code.

    Args:
      function: Its parameters are the command's; its docstring is the help.
      arguments: What follows the command's name.
      name: The command, such as ``"sample"``.
      examples: Command lines for the help, each with a comment after two spaces and a ``#``.

    Returns:
      The exit code. Help exits with 0 and wrong usage with 2, as ``SystemExit`` does.
    """
    text = inspect.getdoc(function) or ""
    # The parser of help texts keeps the docstring's line breaks, and breaks lines once more.
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
        )
    except SystemExit as exit_request:
        return exit_request.code if isinstance(exit_request.code, int) else 2


def unfolded(docstring: str) -> str:
    """Joins the lines of each argument's description in a docstring (PEP 257, Google style)."""
    before, heading, arguments = docstring.partition("\n\nArgs:\n")
    return before + heading + re.sub(r"\n {3,}(?=\S)", " ", arguments)


def option(metavar: str) -> Any:
    """Annotates an option that may be left out, and whose help says what then happens."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


def names(text: str | None) -> list[str] | None:
    """Splits ``"velo,adam"`` into names; None stays None."""
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str | None, field: str) -> list[float] | None:
    """Splits ``"1e-3,1e-2"`` into numbers; None stays None.

    Raises:
      SpecError: A part is no number.
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise SpecError(field, text, "numbers with commas between, such as 1e-3,3e-3") from error
