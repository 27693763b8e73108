"""The plan of every frozen suite stays what it was, byte for byte: stored results hang on it."""

from __future__ import annotations

import pytest

from velodrome.foundation.canonical import content_hash
from velodrome.suites.catalog import LISTS, load_suite
from velodrome.suites.planning.plan import make_plan

# Content hashes of the plans, as manifests record them. They are for a machine without published
# data, whose cells get other ids once the data are prepared.
PLAN_HASHES = {
    ("demo", "cpu"): "59b7a92a45eebe823fd088c2f94185cfad59290889935010cd4723ef3a8c9ff3",
    ("demo", "gpu"): "0c5c2ccb4224e99fefdab8ea080046c1c83980198c44678eaec04c47dda4c170",
    ("heldout-40", "cpu"): "d010f6beb17f8e5e285b123f79917cbc2a1a153db2f1ac510061c9d3a1a99169",
    ("heldout-40", "gpu"): "2d81809819c8f7c8cb36e9fdbc13c292d39664faccecb481418a2f8c8e843f69",
    ("heldout-8", "cpu"): "6f976d004709537e4e2af1fa1001db8f213ef63bd77cbd107adcde16ade023e6",
    ("heldout-8", "gpu"): "38191485923de22b0406f6d8703453052d6b7d753038c1cb7632d8f6840dfa91",
    ("heldout-8-width", "cpu"): "e22bbe7c08527532169726cedb3f58e231c39fd32b1e4e27d773b70acb857fc4",
    ("heldout-8-width", "gpu"): "9ea01ca86473407e29614f7f8b5a6734111d139a5409a8b78c73fbe365350edb",
    ("smoke", "cpu"): "cc847b879fd824c7d6e00e06826010380bc208321313accb8146c88b0f8f0dda",
    ("smoke", "gpu"): "384ed42da40eb4ce7c4f86c949c654e87a9d9f2e810236608fbca39141bb515a",
    ("sprint", "cpu"): "bdd7a0ce866e6dbb54eead3d0f384bd3bfc98228f00e584b495b439c14b4d0c9",
    ("sprint", "gpu"): "b658d802b36d91551a766c4d613dc309a929e0de2bd52ec05a3880ea77cd9ddc",
    ("velodrome-83", "cpu"): "f340e501bc306041ba129e1ace995efed1077c2898be7a51d07f25aeceaa190d",
    ("velodrome-83", "gpu"): "d26dbb8ba4dbbbf3f983d12bd3945b50cf7990e9fe3f5b904cba7a644d07a0d9",
    ("velodrome-extended", "cpu"): (
        "1712ec1d9e91f35604dd470d1256e6a3dab25ed6d144000777f0dde1eb519751"
    ),
    ("velodrome-extended", "gpu"): (
        "e6f6d3027e64ee93593b6902d94a5d668cb457e732bf0fcb2f086fca034962f5"
    ),
    (
        "stress-parameters",
        "cpu",
    ): "0909f3d557ec25e7674cba1e3fbde9c3522e9236f6616a21262a0607a02ffed6",
    (
        "stress-parameters",
        "gpu",
    ): "a3b643a3bcbc4cb0397eba01906e8536dc1c325553bfe2a5f25605c14cbf504f",
    ("stress-steps-2k", "cpu"): "a761437a1f2effaef3755077a807cb781d743542fa76cea7ac353cc4b9148f59",
    ("stress-steps-2k", "gpu"): "d0ec074d9b81a2ad9f305858e0ff524e7af8a9201da6f8b4a563b5dc5949a290",
    ("stress-steps-20k", "cpu"): "321c81d98301e9e6e3505bbd97b660081bbb4d0dac298c71bc7d82c2b5001f17",
    ("stress-steps-20k", "gpu"): "bdf8c8cb948b31f7f9ce65224f1ac3aa1c412e1d10d1b3ae1f98d56a8b75334e",
    (
        "stress-steps-100k",
        "cpu",
    ): "942e356b7ff9fa7dde4e4fdd83703c76c04ffde9beada75b09083f867d78168e",
    (
        "stress-steps-100k",
        "gpu",
    ): "017df69bbc93e0bcdc02259d4f072db0e4ea8b6c30b31c8d90076786c27aaff4",
    (
        "stress-steps-200k",
        "cpu",
    ): "8a52a2eca49c4eff9531695ad700fdbb3ac00a2bb2287c20a4885e24d42d6d4c",
    (
        "stress-steps-200k",
        "gpu",
    ): "04656e341442aa826f31023a45c0f1a0440a16feb15f2ba51c96a426d1c48b9d",
    (
        "stress-steps-400k",
        "cpu",
    ): "8561a432b162265c901fa2dea522bd71addcc24a967b65519759ad6283bc05e3",
    (
        "stress-steps-400k",
        "gpu",
    ): "28324797c65ff2b5b8d1bf2ab5506abc33fd4952f0202b6fe69a03005cea3f94",
    ("stress-horizon", "cpu"): "dbf1ee4fb0d0c8aa6adf449d66f27c2ec684e33a57f1d93fb020807994270463",
    ("stress-horizon", "gpu"): "7ace2089912fed8a39782be31c3470c33914baf340610cffbefbf77db9cbcb63",
    ("mlcommons-mini", "cpu"): "ac4d716c1f342ca2ac6eadd6017b0366127577b299aa3e5a69e5a9f978c50e1b",
    ("mlcommons-mini", "gpu"): "ae9e314852f4cbd941bd92127bed5560e0080a05757680360daa32496e631dfd",
    ("mlcommons-6", "cpu"): "9e7c63ea7e3d3b852ffea3a612ca67016407a6ba1e36abe47f1e7738252bc3af",
    ("mlcommons-6", "gpu"): "693ec17dc6a20d5855f3c2e4ce0a4bc85c7dc35252543b0365f3b10748ef924a",
    ("mlcommons-8", "cpu"): "215cf37812583570c5f297dd5be1fc7c7526358e9dcdc375eb398f8ebfdff2af",
    ("mlcommons-8", "gpu"): "309364efac774e9ff1a2573c668aede0bb96b5e872f08716f9c760f9bb4a0b8d",
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
