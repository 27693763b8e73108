"""The plan of every frozen suite stays what it was, byte for byte: stored results hang on it."""

from __future__ import annotations

import pytest

from velodrome.foundation.canonical import content_hash
from velodrome.suites.catalog import LISTS, load_suite
from velodrome.suites.planning.plan import make_plan

# Content hashes of the plans, as manifests record them. They are for a machine without published
# data, whose cells get other ids once the data are prepared.
PLAN_HASHES = {
    ("demo", "cpu"): "32048bb6d7b698deecfc939dfa0bbaa09ef99671d6194c5394369a8e54dd48ee",
    ("demo", "gpu"): "818f4b5085604b7b2df521b9c67d31d6822e74884709dd10d76ee02eb704ad24",
    ("heldout-40", "cpu"): "25e0afd84a3e929a2da1c7adf06147f0a66ac225d52d20bb5a903930d29fb877",
    ("heldout-40", "gpu"): "5061a13c2e97fb9a06f2be23fa8d3532786f30a51d0acf512ede4a8388c7c851",
    ("heldout-8", "cpu"): "d2bebc1ad54bf7d5808a9aa3e56805cb9095a6d27608c2682ccc8ac4ae78cfb6",
    ("heldout-8", "gpu"): "e5bc6becf83103d1a8187d092532d15965afc1b6ba9486e8e840591c4882242e",
    ("heldout-8-width", "cpu"): "0471b6847c96a3a1612d5a6c7de6f374da768c3d5b1f3f7bce0d96d6db4b5245",
    ("heldout-8-width", "gpu"): "773568a3e44125998524e6e21aca76c0f9a89a626412c491984b46c38ef70f4b",
    ("smoke", "cpu"): "867d76c0328cd0c9f3b7805f43356648366c66380f1a6f5ea0af8f6524fb5980",
    ("smoke", "gpu"): "285d48c37eb599c6199eff3f4495132c55ae7d2bc5e7109f13a9b763496b9614",
    ("velodrome-83", "cpu"): "73b31ed7753ae7dece889430cf6b4dea48d44750012a524dd42b54b27a70c033",
    ("velodrome-83", "gpu"): "b4b45cc654c388efcf5fc021c9acb5fbd3fc17e97964cddce39ad1b48f230f09",
    ("velodrome-extended", "cpu"): (
        "56f805d88ddf8011e3e17df5d2107f80a735ad78193f5a8596d3355b49d96109"
    ),
    ("velodrome-extended", "gpu"): (
        "d1562a50f7ffd2d5c4a64ae0261b574ad68a0fc498d8c9cff2d385cfc551be76"
    ),
}


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        pytest.param(name, backend, marks=[pytest.mark.long] if long else [])
        for name, backend in PLAN_HASHES
        for long in [backend == "gpu" and name.startswith("velodrome")]
    ],
)
def test_the_plan_of_a_frozen_suite_has_its_hash(tmp_path, monkeypatch, name, backend):
    monkeypatch.setenv("VELODROME_CACHE", str(tmp_path))  # no published data
    plan = make_plan(load_suite(name), backend=backend, without_data=True)
    assert content_hash(plan.to_json()) == PLAN_HASHES[name, backend]


def test_every_frozen_suite_is_held():
    assert {name for name, _ in PLAN_HASHES} == {path.stem for path in LISTS.glob("*.json")}
