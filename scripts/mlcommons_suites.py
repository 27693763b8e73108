"""The suite ``mlcommons-mini``: six workloads of MLCommons AlgoPerf, those of the paper of VeLO.

Each is shrunk until two cores train it in seconds, and runs on data that are always there, so it
says whether everything works and not how good an optimizer is on the workload.
``python scripts/freeze_suites.py mlcommons-mini`` writes the list.
"""

from __future__ import annotations

from velodrome.suites.protocol import Protocol
from velodrome.suites.suite import Suite
from velodrome.taskgen.spec import DataSpec, TaskSpec

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)

_PHOTOS = DataSpec("photos", shift=4, flip=True)
_TONES = DataSpec("synthetic_tones")
_HALF_A_SECOND = {"audio_length": 8_000, "label_length": 7}


def mini() -> Suite:
    """Return the six tasks, in the order of the paper's figure."""
    return Suite(
        name="mlcommons-mini",
        tasks=(
            _task("vit_s16", _PHOTOS, 4, num_layers=1, num_heads=2, head_dim=16, mlp_dim=64,
                  patch_size=8, image_size=32),
            _task("resnet50", _PHOTOS, 8, base_channels=4, image_size=32,
                  **{f"blocks_{stage}": 1 for stage in (1, 2, 3, 4)}),
            _task("wmt_transformer", DataSpec("bible_translation"), 4, num_layers=1, num_heads=2,
                  head_dim=16, mlp_dim=32, source_length=32, target_length=32),
            _task("deepspeech", _TONES, 2, recurrent_blocks=1, feed_forward_blocks=1, units=8,
                  **_HALF_A_SECOND),
            _task("conformer", _TONES, 2, num_blocks=1, num_heads=2, head_dim=8, **_HALF_A_SECOND),
            _task("gnn", DataSpec("networkx_atlas"), 4, latent_size=16, hidden_size=16, rounds=2),
        ),
        protocol=Protocol(
            steps=200,
            seeds=2,
            baseline_multiple=2,
            heldout_every=100,
            eval_examples=64,
            # Averages of the speech networks' batch norm need thousands of steps.
            eval_mode="training-loss",
            learning_rates=RATES,
        ),
        optimizers=("adam", "velo"),
    )  # fmt: skip


def _task(family: str, data: DataSpec, batch_size: int, **config: int) -> TaskSpec:
    return TaskSpec(family, config, data, batch_size, name=f"{family}-mini")
