"""What a store's files say is as the published schemas have it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from scripts.store_schemas import FOLDER
from velodrome.results.store import shard_file
from velodrome.results.store.json_files import PACKED
from velodrome.results.store.schemas import schemas
from velodrome.results.store.store import Store

PUBLISHED = Path(__file__).parents[3] / "results" / "published"


@pytest.fixture(scope="module")
def check() -> Callable[[str, object], None]:
    known = {name: jsonschema.Draft202012Validator(schema) for name, schema in schemas().items()}
    return lambda name, content: known[name].validate(content)


def contents(directory: Path) -> Iterator[tuple[str, Any]]:
    """Yield all that the JSON of a store says, with the name of its schema."""
    for path in directory.glob("questions/*.json"):
        yield "question", json.loads(path.read_text())
    for shard in Store.open(directory, read_only=True).shards():
        yield "shard", json.loads(json.dumps(shard_file.plain(shard.metadata)))
    for path in directory.glob("timings/*.json"):
        content = json.loads(path.read_text())
        name = "failure" if path.name.endswith(".failed.json") else "timing"
        yield from ((name, one) for one in (content.values() if path.name == PACKED else [content]))
    for path in directory.glob("failures/*.json"):
        yield "failure", json.loads(path.read_text())


def test_the_schemas_are_those_of_the_types():
    assert {path.stem for path in FOLDER.iterdir()} == set(schemas())
    for name, schema in schemas().items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert json.loads((FOLDER / f"{name}.json").read_text()) == schema, name


@pytest.mark.parametrize(
    "store", sorted({path.parents[1] for path in PUBLISHED.rglob("questions/*.json")}),
    ids=lambda path: path.relative_to(PUBLISHED).as_posix(),
)  # fmt: skip
def test_published_stores_are_as_they_say(store: Path, check: Callable[[str, object], None]):
    names = set()
    for name, content in contents(store):
        check(name, content)
        names.add(name)
    assert names >= {"question", "shard"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda question: question.pop("plan"),
        lambda question: question.update(schema=99),
        lambda question: question["plan"]["cells"][0].update(horizon="20"),
        lambda question: question["plan"]["cells"][0].update(colour="red"),
        lambda question: question["manifest"]["suite"].pop("hash"),
    ],
)
def test_what_is_otherwise_is_refused(
    spoil: Callable[[Any], object], check: Callable[[str, object], None]
):
    _, question = next(contents(PUBLISHED / "demo"))
    check("question", question)
    spoil(question)
    with pytest.raises(jsonschema.ValidationError):
        check("question", question)
