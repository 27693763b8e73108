"""One published task of each family, and of each kind of data, through the runner on stand-ins."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import toys

from velodrome.results.store.store import Store
from velodrome.suites.catalog import load_suite
from velodrome.suites.running.run import run
from velodrome.suites.suite import Suite

ADAM, BOTH = ("adam",), ("adam", "velo")

# The cheapest of each family. What VeLO adds does not depend on the family, and takes long to
# compile; so it trains one of each kind of network.
TASKS = {
    "ImageMLP_Cifar10_8_Relu32": BOTH,  # colour, 32 pixels
    "ImageMLPAE_Mnist_128x32x128_bs128": ADAM,  # grey, 28 pixels
    "Conv_Cifar10_16_32x64x64": BOTH,
    "Resnet_MultiRuntime_0": ADAM,  # ImageNet at 16 pixels
    "VIT_Cifar100_skinnydeep": ADAM,
    "MLPMixer_Cifar100_tiny16": ADAM,
    "RNNLM_lm1bbytes_Patch32_IRNN128_Embed64": BOTH,  # bytes
    "TransformerLM_LM1B_MultiRuntime_0": BOTH,  # a vocabulary of 32,100
    "ESWrapped_1pair_ImageMLP_FashionMnist8_Relu32": ADAM,
    "LOpt_AdafacMLPLOpt_FashionMnist_20": ADAM,
    "LOptPES_Adafac_Fashion_OuterBS4_Length50_Trunc5": ADAM,
}


# Networks of every kind on every kind of data take minutes to compile; these stand for them.
QUICK = ("ImageMLP_Cifar10_8_Relu32", "ImageMLPAE_Mnist_128x32x128_bs128")


def published():
    """The published tasks by name, and their protocol."""
    whole = [load_suite("velodrome-83"), load_suite("velodrome-extended")]
    return {task.name: task for suite in whole for task in suite.tasks}, whole[0].protocol


def test_every_family_is_here():
    tasks, _ = published()
    assert {tasks[name].family for name in TASKS} == {task.family for task in tasks.values()}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.long]) for name in TASKS],
)
def test_a_published_task_is_trained(tmp_path, name):
    tasks, protocol = published()
    protocol = dataclasses.replace(
        protocol,
        steps=2,
        seeds=1,
        baseline_multiple=1,
        eval_every=2,
        heldout_every=2,
        eval_batch_count=1,
        learning_rates=(1e-3,),
    )
    suite, display = Suite("short", (tasks[name],), protocol, TASKS[name]), toys.Recorder()
    run(suite, tmp_path, data="stand-in", workers=0, timing=False, progress=display)
    assert display.failures == []
    cells = list(Store.open(tmp_path).cells())
    assert len(cells) == len(TASKS[name])
    for cell in cells:
        for split in ("train", "heldout"):
            values = cell.curves(split=split).values
            assert values.shape == (1, 2)
            assert np.isfinite(values).all(), (cell.task, split)
        assert cell.curves().values[0, 0] != cell.curves().values[0, 1]
