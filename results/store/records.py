"""What the files of a store hold besides numbers and the plan: their schemas.

Keys that are not required may be left out of a file; where a store is only read, they are left out
as well if they are damaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

from velodrome.results.store.optimizer_ref import OptimizerRef
from velodrome.results.store.plan import LaneInfo, TaskRef


class ProtocolRecord(TypedDict, total=False):
    """The fields of the suite's protocol that reports use; it may have more."""

    steps: int
    seeds: int
    baseline: str
    baseline_multiple: int
    eval_every: int
    heldout_every: int
    corpus_examples: int
    version: int


class Device(TypedDict, total=False):
    """What computed a result."""

    platform: str
    kind: str
    threads: int
    count: int
    flags: str


class _SpreadRecord(TypedDict):
    start: int
    devices: int


class SpreadRecord(_SpreadRecord, total=False):
    """The devices that trained a run together: how many, and what each kept of it.

    ``sharding`` is ``data`` (each all parameters and optimizer state) or ``full`` (a part).
    ``start`` is the updates that its lanes had made.
    """

    sharding: str


class _NamedSuite(TypedDict):
    hash: str


class SuiteName(_NamedSuite, total=False):
    name: str


class TrainedOptimizer(TypedDict):
    """An optimizer whose meta-training had a cost."""

    name: str
    version: int
    identity: Mapping[str, object]


class _Cost(TypedDict):
    optimizer: TrainedOptimizer
    amount: float
    unit: str
    source: str


class CostRecord(_Cost, total=False):
    """What the meta-training of an optimizer cost."""

    detail: str | None


class _Manifest(TypedDict):
    suite: SuiteName
    protocol_hash: str


class Manifest(_Manifest, total=False):
    """What a question is of, and where it was asked.

    ``baseline_mode`` says how far the baseline's runs go: ``exhaustive`` (the default: all to the
    budget), ``decided`` or ``racing``.
    """

    protocol: ProtocolRecord
    baseline_mode: str
    plan_hash: str | None
    data: str | None
    command: str | None
    created: str | None
    versions: Mapping[str, str]
    device: Device
    meta_training: Sequence[CostRecord]


class SpecRecord(TypedDict, total=False):
    """The fields of a task's spec that reports use; it has more."""

    family: str
    name: str
    batch_size: int


class _TargetRecord(TypedDict):
    value: float


class TargetRecord(_TargetRecord, total=False):
    """What is to be reached on a task, as `velodrome.Target` has it."""

    metric: str
    better: str
    split: str


class TaskRecord(TypedDict, total=False):
    spec: SpecRecord
    hash: str
    target: TargetRecord


class SuiteRecord(TypedDict, total=False):
    """The suite of a question."""

    name: str
    tasks: Sequence[TaskRecord]
    optimizers: Sequence[str]


class _ShardCell(TypedDict):
    id: str
    task: TaskRef
    optimizer: OptimizerRef
    horizon: int


class _ShardMetadata(TypedDict):
    schema: int
    shard: str
    cell: _ShardCell
    lanes: tuple[LaneInfo, ...]
    data: ShardData


class _ShardData(TypedDict):
    name: str
    content_hash: str
    provenance: str


class ShardData(_ShardData, total=False):
    splits: Mapping[str, str]


class _ImportRecord(TypedDict):
    file: str
    sha256: str
    columns: Mapping[str, str]
    left_out: int
    time: str


class ImportRecord(_ImportRecord, total=False):
    """Where imported curves come from.

    ``file`` has no folder; ``columns`` are its columns by what they were read as; ``made_by`` is
    what the user said, such as ``"PyTorch 2.9"``. ``left_out`` counts values at steps at which the
    protocol has no evaluation.
    """

    made_by: str


class ShardMetadata(_ShardMetadata, total=False):
    """What a shard's file says about itself.

    Its runs went on from the end of the shard ``after``, and its rows are those from ``start`` to
    ``stop`` updates. With ``started_over`` that end was not kept, and the rows begin at 0. Files
    without these fields have all of a run. Only imported curves have ``imported``, with the mode
    ``imported``. ``spread`` is there if each run was trained on several devices; it has more than
    one part if a run was continued on others.
    """

    imported: ImportRecord
    spread: Sequence[SpreadRecord]
    mode: str
    eval_slice: int
    block: int
    start: int
    stop: int
    after: str
    started_over: bool
    protocol: Mapping[str, object]
    versions: Mapping[str, str]
    device: Device
    started: str
    seconds: float


class Seconds(TypedDict, total=False):
    """A measured time of a step."""

    median: float
    spread: float
    samples: Sequence[float]


class Timing(TypedDict, total=False):
    """``timings/<cell id>.json``."""

    cell: str
    seconds_per_step: Seconds
    baseline_seconds_per_step: Seconds | None
    ratio: float | None
    compile_seconds: float
    memory_bytes: float
    eval_seconds: float
    device: Device
    spread: SpreadRecord
    threads: int


class Failure(TypedDict, total=False):
    """``failures/<shard id>.json`` and ``timings/<cell id>.failed.json``."""

    shard: str
    cell: str
    kind: str
    message: str
    time: str
