"""What the JSON of a store's files says, as JSON Schema; see `docs/reference/store.md`."""

from __future__ import annotations

from typing import TypedDict

from velodrome.foundation.json_schema import Schema, json_schema
from velodrome.results.store.json_files import SCHEMA
from velodrome.results.store.plan import KIND as PLAN_KIND
from velodrome.results.store.plan import SCHEMA as PLAN_SCHEMA
from velodrome.results.store.plan import Plan
from velodrome.results.store.question import KIND as QUESTION_KIND
from velodrome.results.store.records import (
    Failure,
    Manifest,
    ShardMetadata,
    SuiteRecord,
    Timing,
)


class QuestionFile(TypedDict):
    """``questions/NNNN-<key>.json``: what was asked, and the plan that answers it."""

    manifest: Manifest
    suite: SuiteRecord
    plan: Plan


def schemas() -> dict[str, Schema]:
    """Return the schema of each kind of file, by the name of its own file in ``docs/schema``."""
    asked = json_schema(QuestionFile, title="A question of a velodrome store")
    parts = asked["$defs"]
    _mark(parts["QuestionFile"], SCHEMA, QUESTION_KIND)
    _mark(parts["Plan"], PLAN_SCHEMA, PLAN_KIND)
    shard = json_schema(ShardMetadata, title="What a shard says of itself")
    return {
        "question": asked,
        "shard": shard,
        "timing": json_schema(Timing, title="How long a training step takes"),
        "failure": json_schema(Failure, title="Why a shard or a timing failed"),
    }


def _mark(part: Schema, number: int, kind: str) -> None:
    """Add the keys by which a file is recognised before it is read."""
    part["properties"] |= {"schema": {"const": number}, "kind": {"const": kind}}
    part["required"] = sorted([*part["required"], "schema", "kind"])
