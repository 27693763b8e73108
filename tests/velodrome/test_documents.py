"""Run the code blocks of the documents: all Python, and the console commands that are cheap."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tyro

import velodrome
import velodrome.commands._parsing as parsing
from velodrome import cli
from velodrome.results.report.figures import contents
from velodrome.taskgen.data.add import forget
from velodrome.taskgen.data.own.names import names
from velodrome.taskgen.registry import families

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: Commands of a document that only a long test runs.
LONG = {"task-family.md": "check", "CONTRIBUTING.md": "check"}

_FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\n")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int


def blocks(document: Path) -> list[Block]:
    text = document.read_text()
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start(2)) + 1)
        for match in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[list[str]]:
    """Return the commands of a bash block, or of a console block (lines with ``$``)."""
    text = block.text.replace("\\\n", " ")
    if block.language == "console":
        text = "\n".join(line[2:] for line in text.splitlines() if line.startswith("$ "))
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["velodrome"]]


def is_cheap(words: list[str]) -> bool:
    """Whether a command is run here; the others are parsed only."""
    name = words[0]
    if name == "run":
        return "--dry-run" in words
    if "tensorboard" in words and importlib.util.find_spec("tensorboardX") is None:
        return False
    if name == "import":
        return Path(words[1]).is_file()
    if name in ("report", "export"):
        return Path(words[1]).is_dir()
    if name == "weights":
        return words[1] == "list"
    if name == "data":
        return words[1] in ("status", "add", "remove") and "hf:" not in words[-1]
    return name in ("list", "sample", "show", "check", "--help", "--version")


def parse_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make commands parse their arguments and do nothing; return what undoes that."""
    real = tyro.cli

    def cli_of_nothing(function: Callable[..., int], **options: Any) -> int:
        @functools.wraps(function)
        def nothing(*args: Any, **kwargs: Any) -> int:
            del args, kwargs
            return 0

        # `inspect` reads this attribute, which functions are not declared to have.
        nothing.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return real(nothing, **options)

    monkeypatch.setattr(parsing.tyro, "cli", cli_of_nothing)
    return lambda: monkeypatch.setattr(parsing.tyro, "cli", real)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_blocks_run(
    document: Path,
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    if document.name == "export.md":
        # Its commands are run on a store, and its Python reads what they wrote.
        make_store(Path("runs/mine"), "--tasks", "1")
    if document.name == "leaderboard.md":  # its race draws a report, which takes long
        monkeypatch.setattr(contents, "MODULES", (contents.sorted_speedup,))
    # Dataclasses look up the module they are made in.
    module = types.ModuleType("document")
    monkeypatch.setitem(sys.modules, "document", module)
    # What a document registers is not there for the next test.
    for part in ("_values", "_lazy"):
        monkeypatch.setattr(families, part, dict(getattr(families, part)))
    for block in blocks(document):
        if block.language == "python":
            if title := _FILE.match(block.text):
                Path(title[1]).write_text(block.text)
            # The padding makes line numbers in a traceback those of the document.
            source = "\n" * (block.line - 1) + block.text
            exec(compile(source, str(document), "exec"), vars(module))
        elif block.language in ("console", "bash"):
            for words in commands(block):
                runs = is_cheap(words) and words[0] != LONG.get(document.name)
                undo = (lambda: None) if runs else parse_only(monkeypatch)
                code = cli.main(words)
                undo()
                shown = capsys.readouterr()
                where = f"{document.name}:{block.line}: velodrome {shlex.join(words)}"
                assert code == 0, f"{where}\n{shown.out}{shown.err}"
    for name in names():
        forget(name)
    if document.name == "from-python.md":
        check_what_the_examples_do(vars(module))


@pytest.mark.long
@pytest.mark.parametrize("name", LONG)
def test_costly_commands_run(
    name: str,
    make_store: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    (document,) = (path for path in DOCUMENTS if path.name == name)
    monkeypatch.delitem(LONG, name)
    test_code_blocks_run(document, make_store, tmp_path, monkeypatch, capsys)


def test_the_examples_from_python_take_five_lines_each():
    text = (ROOT / "docs" / "tutorials" / "from-python.md").read_text()
    examples = [match[2] for match in _FENCE.finditer(text) if match[1] == "python"]
    assert len(examples) == 3
    for example in examples:
        lines = [line for line in example.splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith(("import ", "from "))]
        lines = [line for line in lines if not line.endswith("  # yours")]
        assert len(lines) <= 5, example
        assert ";" not in example


def check_what_the_examples_do(names: dict[str, Any]) -> None:
    """The examples from Python do what they are there for."""
    curve = names["curve"]["train loss"]
    assert curve.iloc[-1] < 0.8 * curve.iloc[0]  # Adam trains
    assert names["loss"] < 0.1  # VeLO too, from more than 1
    (spec,) = velodrome.sample(1, seed=0, family="two_layers", data="built-in", max_mflop=6)
    assert velodrome.build(spec).cost.params == velodrome.cost(spec).params > 0


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_examples_in_the_help_parse(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    module = __import__(cli.module_of(name), fromlist=["EXAMPLES"])
    parse_only(monkeypatch)
    for example in module.EXAMPLES:
        program, *words = shlex.split(example, comments=True)
        assert program == "velodrome"
        assert cli.main(words) == 0, f"{example}\n{capsys.readouterr().err}"


def test_a_command_with_a_wrong_option_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    parse_only(monkeypatch)
    assert cli.main(["run", "demo", "--out", "x", "--no-such-option"]) == 2


def test_the_commands_that_judge_weights_parse(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    command = ["make", "-n", "heldout", "VENV=v"]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    lines = [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]
    found = [words[1:] for words in lines if words[:1] == ["v/bin/velodrome"]]
    assert {words[1] for words in found if words[0] == "run"} == {
        "heldout-40", "heldout-8", "heldout-8-width",
    }  # fmt: skip
    parse_only(monkeypatch)
    for words in found:
        assert cli.main(words) == 0, f"{shlex.join(words)}\n{capsys.readouterr().err}"
    (last,) = (words for words in lines if "scripts/generalisation.py" in words)
    outs = {words[words.index("--out") + 1] for words in found if words[0] == "run"}
    assert outs == {"runs/heldout/40", *last[2:]}


def test_blocks_and_commands_are_found(tmp_path: Path):
    document = tmp_path / "a.md"
    document.write_text(
        "# A\n\n```python\nx = 1\n```\n\n```console\n$ make demo\n$ velodrome list \\\n"
        "  tasks  # all\noutput\n```\n\n```bash\nvelodrome show 'a b'\n```\n"
    )
    found = blocks(document)
    assert [(block.language, block.line) for block in found] == [
        ("python", 4),
        ("console", 8),
        ("bash", 15),
    ]
    assert [commands(block) for block in found[1:]] == [[["list", "tasks"]], [["show", "a b"]]]
