"""Make a command, with help and examples, from the signature and docstring of a function."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.foundation.files import resolved

_registry = ConstructorRegistry()

#: Digits of a whole number that is written with an exponent.
_MOST_DIGITS = 30


class _NotANumber(VelodromeError):
    def __init__(self, word: str, allowed: str):
        super().__init__(word)
        self.word = word
        self.allowed = allowed


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


@_registry.primitive_rule
def _number(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int | float] | None:
    """Read numbers: whole ones with an exponent too, such as 1e3."""
    if kind.type not in (int, float):
        return None
    read, metavar = (_whole, "INT") if kind.type is int else (_real, "FLOAT")
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda words: read(words[0]),
        is_instance=lambda value: isinstance(value, kind.type),
        str_from_instance=lambda value: [str(value)],
    )


class Gain(float):
    """The value of an option that may be given without one."""

    IF_LEFT_OUT = "0.01"


@_registry.primitive_rule
def _gain(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Gain] | None:
    if kind.type is not Gain:
        return None
    return PrimitiveConstructorSpec(
        nargs=(0, 1),
        metavar="GAIN",
        instance_from_str=lambda words: Gain(_real(words[0] if words else Gain.IF_LEFT_OUT)),
        is_instance=lambda value: isinstance(value, Gain),
        str_from_instance=lambda value: [str(value)],
    )


def _whole(word: str) -> int:
    try:
        value = Decimal(word)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or value.adjusted() > _MOST_DIGITS or value != int(value):
        raise _NotANumber(word, "a whole number, such as 1000 or 1e3")
    return int(value)


def _real(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise _NotANumber(word, "a number, such as 0.5 or 1e-3") from None


def run_command(
    function: Callable[..., int], arguments: Sequence[str], *, name: str, examples: Sequence[str]
) -> int:
    """Call ``function`` with parsed arguments and return its exit code: 0 for help, 2 for misuse.

    Args:
      function: Its parameters are those of the command, and its docstring is the help.
      examples: Command lines for the help, each with a comment after two spaces and a ``#``.

    Raises:
      SpecError: A word is not the number that its option takes.
      VelodromeError: There is no such option; the message has the one that was meant.
    """
    _refuse_unknown_options(function, arguments, name)
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
    except _NotANumber as error:
        raise SpecError(_option_of(arguments, error.word), error.word, error.allowed) from None
    except SystemExit as exit_request:
        return exit_request.code if isinstance(exit_request.code, int) else 2


def _refuse_unknown_options(
    function: Callable[..., int], arguments: Sequence[str], command: str
) -> None:
    known = {"--help", *_options(function)}
    for word in arguments:
        given = word.partition("=")[0].replace("_", "-")
        if not given.startswith("--") or given in known:
            continue
        meant = [
            option
            for option in sorted(known)
            if option.startswith(given) or _initials(option) == given
        ]
        meant += difflib.get_close_matches(given, known, n=1)
        hint = f"; did you mean {meant[0]}?" if meant else "."
        raise VelodromeError(
            f"`velodrome {command}` has no option {given}{hint} `velodrome {command} --help` "
            "lists all."
        )


def _options(function: Callable[..., int]) -> Iterator[str]:
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            # What `tyro.conf.arg` made, if anything.
            settings = getattr(hints.get(name), "__metadata__", ())
            renamed = [found for each in settings if (found := getattr(each, "name", None))]
            yield f"--{(renamed or [name])[0]}".replace("_", "-")
            for each in settings:
                yield from getattr(each, "aliases", None) or ()


def _initials(option: str) -> str:
    """Return ``--lr`` for ``--learning-rates``."""
    return "--" + "".join(word[:1] for word in option.removeprefix("--").split("-"))


def _option_of(arguments: Sequence[str], word: str) -> str:
    """Return the option whose value a word is."""
    for before, each in zip(["argument", *arguments], arguments, strict=False):
        if each == word:
            return before
        if each.endswith(f"={word}"):
            return each.partition("=")[0]
    return "argument"


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


def grids(words: Iterable[str], field: str) -> dict[str, dict[str, list[bool | float | str]]]:
    """Read words such as ``adamw.weight_decay=0,0.1``: an optimizer, a hyperparameter, its values.

    Raises:
      SpecError: A word is of another form, or says again what one before it said.
    """
    found: dict[str, dict[str, list[bool | float | str]]] = {}
    for word in words:
        asked, _, values = word.partition("=")
        optimizer, _, name = asked.rpartition(".")
        given = [_value(value.strip()) for value in values.split(",")]
        if not optimizer or not name or "" in given:
            raise SpecError(field, word, "of the form OPTIMIZER.HYPERPARAMETER=VALUE,VALUE,...")
        if name in found.setdefault(optimizer, {}):
            raise SpecError(field, word, f"said once: {optimizer}.{name} has values already")
        found[optimizer][name] = given
    return found


def _value(text: str) -> bool | float | str:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


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
