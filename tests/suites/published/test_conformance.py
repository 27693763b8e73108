"""One published task of each kind of network, compiled and trained for a few steps."""

from __future__ import annotations

import math
from pathlib import Path

import conformance
import jax
import numpy as np
import pytest
from conformance import batch_size_for, published_loss, start_of, uniform_guess

import velodrome
from scripts.published_tasks_table import with_tables
from velodrome.foundation.errors import DataError
from velodrome.suites.published.tasks import group_of, published_tasks

ROOT = Path(__file__).parents[3]

# Each with how far its first loss may be off the published one: cross-entropies by that, others
# by that part. What data look like matters more to the squared errors; and with normalised layers
# losses differ most between seeds, of which the published value has the best of 15 means of five.
TASKS = {
    "ImageMLP_Cifar10_128x128x128_Relu": 0.05,
    "ImageMLP_Cifar10_8_Relu32": 0.05,
    "ImageMLP_Cifar10_128x128x128_BatchNorm_Tanh": 0.15,
    "ImageMLP_Cifar10_128x128x128_LayerNorm_Relu": 0.15,
    "ImageMLP_Cifar10_128x128_Dropout05_Relu_MSE": 0.25,
    "ImageMLP_Cifar10_128x128x128_Relu_MSE": 0.25,
    "ImageMLPAE_Cifar10_128x32x128_bs256": 0.08,
    "ImageMLPAE_Mnist_128x32x128_bs128": 0.08,
    "Conv_Cifar10_32x64x64": 0.05,
    "Conv_Cifar10_32x64x64_batchnorm": 0.08,
    "Conv_Cifar10_32x64x64_layernorm": 0.08,
    "Resnet_MultiRuntime_0": 1e-3,
    "VIT_Cifar100_wideshallow": 1e-3,
    "MLPMixer_Cifar100_tiny16": 1e-3,
    "ESWrapped_1pair_ImageMLP_Cifar10BW8_Relu32": 0.08,
    "RNNLM_lm1bbytes_Patch32_LSTM128_Embed64": 0.05,
    "RNNLM_lm1bbytes_Patch32_GRU128_Embed64": 0.05,
    "RNNLM_lm1bbytes_Patch32_VanillaRNN128_Embed64": 0.2,
    # Its units add up what they have read, so real text, which repeats itself, has larger logits.
    "RNNLM_lm1bbytes_Patch32_IRNN128_Embed64": 1.2,
    "TransformerLM_LM1B_MultiRuntime_0": 0.2,
}


# One of each layer that sets a first loss; the others differ in size and data.
QUICK = (
    "ImageMLP_Cifar10_8_Relu32",
    "ImageMLPAE_Mnist_128x32x128_bs128",
    "ESWrapped_1pair_ImageMLP_Cifar10BW8_Relu32",
    "RNNLM_lm1bbytes_Patch32_GRU128_Embed64",
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.long]) for name in TASKS],
)
def test_the_first_loss_is_the_published_one_and_training_moves(name):
    spec = published_tasks()[name]
    exact = group_of(name) in ("resnet", "vit", "mlp_mixer")  # their last layer starts at zero
    seeds = 1 if exact else 12 if group_of(name) == "mlp" else 3
    start = start_of(spec, batch_size=min(32, batch_size_for(spec)), seeds=seeds)
    assert start.finite and start.moved
    published, guess = published_loss(name), uniform_guess(spec)
    assert published is not None
    tolerance = TASKS[name] * (1 if guess is not None else published)
    assert start.initial == pytest.approx(published, abs=tolerance)
    if exact:
        assert guess is not None and start.initial == pytest.approx(guess, rel=1e-5)


TRUNCATED = 0.8796  # deviation of a normal that is cut at two, in units of the uncut one


@pytest.mark.parametrize(
    ("name", "deviations"),
    [
        (
            "ImageMLP_Cifar10_256x256_Relu",
            {"dense_0/kernel": TRUNCATED / 3072**0.5, "output/kernel": TRUNCATED / 256**0.5},
        ),
        ("ImageMLPAE_Mnist_128x32x128_bs128", {"dense_1/kernel": TRUNCATED / 128**0.5}),
        (
            "Conv_Cifar10_32x64x64_batchnorm",
            {"conv_1/kernel": TRUNCATED / (9 * 32) ** 0.5, "norm_1/offset": 0.0},
        ),
        pytest.param(
            "Resnet_MultiRuntime_0",
            {
                "stem": TRUNCATED / 27**0.5,
                "block_3/conv_2": TRUNCATED / 4**0.5,
                "block_0/projection": TRUNCATED / 64**0.5,
                "output/kernel": 0.0,
            },
            marks=pytest.mark.long,
        ),
        pytest.param(
            "VIT_Cifar100_wideshallow",
            {
                "patches/kernel": 1 / (16 * 16 * 3) ** 0.5,
                "positions": 0.02,
                "block_0/attention/key": 1 / 384**0.5,
                "block_0/attention/out": 1 / 384**0.5,
                "block_0/mlp_in/kernel": (2 / (384 + 1536)) ** 0.5,
                "block_0/mlp_in/bias": 1e-6,
                "class_token": 0.0,
                "output/kernel": 0.0,
            },
            marks=pytest.mark.long,
        ),
        pytest.param(
            "MLPMixer_Cifar100_tiny16",
            {
                "patches/kernel": 1 / (16 * 16 * 3) ** 0.5,
                "block_2/tokens/dense_out/kernel": 1 / 384**0.5,
                "block_2/channels/dense_in/kernel": 1 / 512**0.5,
                "output/kernel": 0.0,
            },
            marks=pytest.mark.long,
        ),
    ],
)
def test_initial_deviations_are_the_published_ones(name, deviations, key):
    task = velodrome.build(published_tasks()[name])
    init = jax.jit(task.init, compiler_options={"xla_backend_optimization_level": 0})
    params, _ = init(key)
    for path, expected in deviations.items():
        leaf = params
        for part in path.split("/"):
            leaf = leaf[part]
        values = np.asarray(leaf)
        # Five standard errors of the deviation of as many normal numbers, and of their mean.
        error = 5 / math.sqrt(2 * values.size)
        assert values.std() == pytest.approx(expected, rel=error, abs=1e-12), path
        assert abs(values.mean()) <= 5 * expected / math.sqrt(values.size), path
        if "bias" in path:
            continue
        bound = 2 / TRUNCATED if expected else 0.0
        if path != "positions" and "attention" not in path and "mlp_in" not in path:
            assert abs(values).max() <= bound * expected * 1.001, path


def test_the_documented_table_is_what_the_command_makes():
    text = (ROOT / "docs" / "reference" / "published-costs.md").read_text()
    assert with_tables(text) == text
    assert text.count("| yes, ") + text.count("| **no**") == len(published_tasks())
    with pytest.raises(DataError, match="needs the lines"):
        with_tables("no marks")


def test_the_page_of_conformance_has_no_failure_and_says_what_is_not_in_it():
    text = (ROOT / "docs" / "reference" / "conformance.md").read_text()
    _, _, absent = text.partition(conformance.UNCHECKED)
    absent = absent.partition("\n")[0]
    for name in published_tasks():
        assert (f"| {name} | {group_of(name)} |" in text) != (f" {name}" in absent), name
    assert "DIFFERENT" not in text and "NOT FINITE" not in text
    row = ["ImageMLP_Cifar10_8_Relu32", "mlp", "83", "6,506", "equal"]
    page = conformance.document([row])
    assert page.count("| ImageMLP_Cifar10_8_Relu32 | mlp | 83 |") == 1
    assert ", VIT_Cifar100_skinnydeep, " in page.partition(conformance.UNCHECKED)[2]


def test_a_check_of_all_tasks_goes_on_where_it_stopped(tmp_path, monkeypatch):
    found, checked = tmp_path / "page.found.jsonl", []
    names = ["ImageMLP_Cifar10_8_Relu32", "ESWrapped_1pair_ImageMLP_Cifar10BW8_Relu32"]

    def stop_at_the_second(names, *, say):
        for name in names:
            checked.append(name)
            if len(checked) == 2:
                raise KeyboardInterrupt
            yield [name, str(len(checked))]

    monkeypatch.setattr(conformance, "rows", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        conformance.kept_rows(names, found)
    found.write_text(found.read_text() + '{"of": ["half a')
    made = conformance.kept_rows(names, found)
    assert made == [[names[0], "1"], [names[1], "3"]]
    assert checked == [names[0], names[1], names[1]]
    monkeypatch.setattr(conformance.jax, "__version__", "0")
    assert conformance.kept_rows(names[:1], found) == [[names[0], "4"]]
