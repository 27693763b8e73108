"""The translation workload of MLCommons: arrays, masks, losses, costs, training, translating."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_tasks import quick, traced

import velodrome
from velodrome.foundation.errors import SpecError, VelodromeError
from velodrome.taskgen.data.madeup import made_up_batch
from velodrome.taskgen.dataspec import DataSpec
from velodrome.taskgen.families.networks import wmt_transformer
from velodrome.taskgen.families.networks.wmt_transformer import (
    MLP,
    Attention,
    WMTTransformer,
)
from velodrome.taskgen.families.wmt_transformer import WMTTransformerConfig
from velodrome.taskgen.network import batch_shapes, task_functions
from velodrome.taskgen.nn.losses import Prediction
from velodrome.taskgen.nn.objectives import smoothed_sequence
from velodrome.taskgen.nn.positions import sinusoids
from velodrome.taskgen.spec import TaskSpec
from velodrome.taskgen.translation import bleu, translate
from velodrome.taskgen.views import PackedPairView, PairView

ARRAYS = json.loads(Path(__file__).parents[1].joinpath("golden/mlcommons_arrays.json").read_text())
PUBLISHED = PairView(256, 256, 32_000)

#: Of the size that the workload's facts suggest for tests.
SHRUNK = WMTTransformerConfig(
    num_layers=1, num_heads=2, head_dim=16, mlp_dim=32, source_length=16, target_length=16
)
SHRUNK_VIEW = PairView(16, 16, 64)
PACKED = PackedPairView(16, 16, 64)
TINY = {"num_layers": 1, "num_heads": 2, "head_dim": 8, "mlp_dim": 16, "dropout": 0.0}
TINY |= {"source_length": 80, "target_length": 80}


def functions(config: WMTTransformerConfig, view: PairView):
    return task_functions(velodrome.families.get("wmt_transformer"), config, view, "highest")


def small_batch(view: PairView, batch_size: int = 4) -> dict[str, jax.Array]:
    """Return made-up pairs of different lengths."""
    made = made_up_batch(view, batch_size, seed=3)
    for name, length in (("source", view.source_length), ("target", view.target_length)):
        made[name] = 1 + made[name] % (view.vocab_size - 1)
        for row in range(batch_size):
            made[name][row, length - 2 * row :] = 0
    return {name: jnp.asarray(array) for name, array in made.items()}


def network(config: WMTTransformerConfig = SHRUNK, view: PairView = SHRUNK_VIEW) -> WMTTransformer:
    return WMTTransformer(config, view, rngs=nnx.Rngs(0), dynamic={})


def test_arrays_are_those_of_the_workload():
    family, config = velodrome.families.get("wmt_transformer"), WMTTransformerConfig()
    params, state = functions(config, PUBLISHED).shapes
    found = Counter("x".join(map(str, leaf.shape)) for leaf in jax.tree.leaves(params))
    assert found == ARRAYS["wmt_transformer"]["shapes"]
    total = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert total == ARRAYS["wmt_transformer"]["total"] and not jax.tree.leaves(state)
    assert family.cost
    cost = family.cost(config, PUBLISHED, 128)
    assert cost.params == total
    assert cost.flops / 128 / 1e9 == pytest.approx(220.5, rel=0.01)  # of the facts


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_layers": 2, "dropout": 0.0, "label_smoothing": 0.1, "source_length": 20},
        pytest.param({"packed": True}, marks=pytest.mark.long),
    ],
    ids=["shrunk", "smoothed", "packed"],
)
def test_closed_forms_are_the_traced_program(changes):
    config = {**{name: getattr(SHRUNK, name) for name in SHRUNK.__dataclass_fields__}, **changes}
    spec = TaskSpec("wmt_transformer", config, DataSpec("bible_translation"), 4)
    closed, found = velodrome.cost(spec), traced(spec)
    assert closed.flops == pytest.approx(found.flops, rel=0.03)
    assert closed.eval_flops_per_example == pytest.approx(found.eval_flops_per_example, rel=0.05)
    assert closed.params == found.params
    assert found.bytes / 2 < closed.bytes < 2 * found.bytes


@pytest.mark.long
def test_closed_forms_of_sampled_tasks():
    for spec in velodrome.sample(6, seed=5, family="wmt_transformer", data="built-in"):
        closed, found = velodrome.cost(spec), traced(spec)
        assert closed.flops == pytest.approx(found.flops, rel=0.03), spec
        assert closed.params == found.params


def test_three_steps_at_the_shrunk_size(key, strict_dtypes):
    task, batch = functions(SHRUNK, SHRUNK_VIEW), small_batch(SHRUNK_VIEW)

    @quick
    def train(key):
        params, state = task.init(key)

        def step(params, _):
            def loss(params):
                return task.loss(params, state, key, batch, train=True)[0]

            value, gradient = jax.value_and_grad(loss)(params)
            return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient), value

        after, losses = jax.lax.scan(step, params, None, length=3)
        return params, losses, task.metrics(after, state, key, batch)

    params, losses, metrics = train(key)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 19_008
    assert losses[2] < losses[0]
    tokens = int((np.asarray(batch["target"]) > 0).sum())
    assert metrics["loss"][1] == metrics["accuracy"][1] == tokens == 16 + 2 + 4 + 6 + 24


def test_initial_values():
    config = WMTTransformerConfig(num_heads=2, head_dim=64, mlp_dim=512)  # of width 128
    attention, mlp = Attention(config, nnx.Rngs(0)), MLP(config, nnx.Rngs(1))
    for name in ("query", "key", "value", "out"):  # as [width, width] matrices
        kernel = np.asarray(getattr(attention, name)[...])
        assert np.abs(kernel).max() == pytest.approx(math.sqrt(6 / 256), rel=0.01)
        assert kernel.std() == pytest.approx(math.sqrt(2 / 256), rel=0.02)
    wide = np.asarray(mlp.dense_in.kernel[...])
    assert np.abs(wide).max() == pytest.approx(math.sqrt(6 / 640), rel=0.01)
    assert np.asarray(mlp.dense_in.bias[...]).std() == pytest.approx(1e-6, rel=0.15)
    embedding = np.asarray(network().embedding[...])
    assert embedding.std() == pytest.approx(1, rel=0.05)


def test_places_by_hand():
    code = sinusoids(5, 5)
    np.testing.assert_allclose(code[3], [*np.sin([3, 3e-4]), *np.cos([3, 3e-4]), 0], rtol=1e-6)


def test_masks():
    """An output sees the source without its padding, and the target before it; 0 comes first."""
    model, batch = network(), small_batch(SHRUNK_VIEW, 2)
    read = nnx.jit(lambda model, inputs: model(inputs, train=False, key=jax.random.key(0)).logits)
    logits = read(model, batch)
    assert logits.shape == (2, 16, 64)

    later = {**batch, "target": batch["target"].at[:, 9].set(1 + batch["target"][:, 9] % 63)}
    changed = np.abs(np.asarray(read(model, later) - logits)).max(axis=(0, 2))
    assert not changed[:10].any() and changed[10:].all()

    # The second source ends two tokens earlier: what stands after it changes nothing.
    cut = {name: array[1:] for name, array in batch.items()}
    cut["source"] = cut["source"][:, :14]
    np.testing.assert_allclose(read(model, cut)[0], logits[1], rtol=2e-4, atol=1e-5)
    other = {**batch, "source": batch["source"].at[:, 0].add(1)}
    assert np.abs(np.asarray(read(model, other) - logits)).max(axis=(1, 2)).all()


def test_step_by_step_is_the_whole():
    model, batch = network(), small_batch(SHRUNK_VIEW, 3)

    @nnx.jit
    def both(model, batch):
        whole = model(batch, train=False, key=jax.random.key(0)).logits
        memories, mask = model.start(batch["source"], 16)

        def step(memories, inputs):
            token, time = inputs
            logits, memories = model.step(memories, mask, token, time)
            return memories, logits

        before = jnp.pad(batch["target"], ((0, 0), (1, 0)))[:, :-1].T
        _, steps = jax.lax.scan(step, memories, (before, jnp.arange(16)))
        return whole, steps.swapaxes(0, 1)

    whole, steps = both(model, batch)
    np.testing.assert_allclose(steps, whole, rtol=2e-4, atol=1e-5)


def test_smoothing_and_padding_by_hand(key):
    logits = jax.random.normal(key, (2, 3, 5))
    target = jnp.array([[4, 2, 0], [1, 0, 0]])
    soft = 0.8 * jax.nn.one_hot(target, 5) + 0.2 / 5
    losses = -(soft * jax.nn.log_softmax(logits)).sum(-1)
    expected = losses[0, 0] + losses[0, 1] + losses[1, 0]
    found = smoothed_sequence(Prediction(logits, 0.2), {"target": target}, PairView(3, 3, 5))
    assert float(found["loss"][0]) == pytest.approx(float(expected), rel=1e-5)
    assert found["loss"][1] == 3


def test_a_task_translates(key):
    spec = TaskSpec(
        "wmt_transformer",
        {"num_layers": 1, "num_heads": 1, "head_dim": 8, "mlp_dim": 8, "target_length": 6}
        | {"source_length": 8},
        DataSpec("bible_translation"),
        4,
    )
    params, _ = velodrome.build(spec).init(key)
    source = jnp.array([[5, 70, 2, 0, 0, 0, 0, 0], [9, 80, 90, 2, 0, 0, 0, 0]])
    for beams in (1, 3):
        found = translate(spec, params, source, beams=beams)
        assert found.shape == (2, 6) and found.dtype == jnp.int32
    with pytest.raises(SpecError, match="'wmt_transformer'"):
        translate(TaskSpec("mlp", {}, DataSpec("digits"), 4), params, source)


def test_bleu_by_hand():
    pytest.importorskip("sacrebleu")  # of the extra `mlcommons`
    assert bleu(["And God saw the light."], ["And God saw the light."]) == pytest.approx(100)
    # The precisions of one to four words; the lengths are equal.
    expected = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    found = bleu(["the cat sat on a mat"], ["the cat sat on the mat"])
    assert found == pytest.approx(expected, rel=1e-6)
    # No four words in common: counted as half of one of three.
    found = bleu(["the cat sat the mat on"], ["the cat sat on the mat"])
    assert found == pytest.approx(100 * (6 / 6 * 3 / 5 * 1 / 4 * 1 / 6) ** 0.25, rel=1e-6)
    with pytest.raises(VelodromeError, match="1 translations, but 2 references"):
        bleu(["a"], ["a", "b"])


@pytest.mark.long
def test_the_first_loss_at_full_size(key):
    """The published logs begin at 10.96 to 11.20; random tokens stand for text here."""
    task = functions(WMTTransformerConfig(), PUBLISHED)
    params, state = jax.jit(task.init)(key)
    shapes = batch_shapes(PUBLISHED, 2)
    lengths = jnp.array([[40], [150]])
    batch = {
        name: jnp.where(
            jnp.arange(256)[None] < lengths,
            jax.random.randint(jax.random.fold_in(key, at), shape.shape, 1, 32_000),
            0,
        )
        for at, (name, shape) in enumerate(shapes.items())
    }
    loss, _ = jax.jit(task.loss, static_argnames="train")(params, state, key, batch, train=False)
    assert 10.96 < float(loss) < 11.25


def test_packed_pairs_have_the_losses_that_they_have_alone(monkeypatch: pytest.MonkeyPatch, key):
    """But that a later pair of a row starts after the end of the one before, not after 0."""
    lengths = [(5, 4), (3, 6), (6, 2)]  # of sources and targets, the last token of which is 2
    packed = {name: np.zeros((1, 16), np.int32) for name in PACKED.schema()}
    alone = {name: np.zeros((3, 16), np.int32) for name in ("source", "target")}
    begins, generator = {"source": 0, "target": 0}, np.random.default_rng(1)
    for number, sizes in enumerate(lengths):
        for (name, begin), size in zip(list(begins.items()), sizes, strict=True):
            tokens = np.array([*generator.integers(3, 64, size - 1), 2])
            alone[name][number, :size] = tokens
            packed[name][0, begin : begin + size] = tokens
            packed[f"{name}_segment"][0, begin : begin + size] = number + 1
            begins[name] += size
    module = network()

    @jax.jit
    def logits(inputs, first):
        with monkeypatch.context() as patch:
            patch.setattr(
                wmt_transformer,
                "shift_right",
                lambda target: jnp.concatenate([first[:, None], target[:, :-1]], axis=1),
            )
            return module(inputs, train=False, key=key).logits

    together = np.asarray(jax.jit(lambda b: module(b, train=False, key=key).logits)(packed))[0]
    # The first token that each sees: 0, and then the ends of the pairs before.
    each = np.asarray(logits(alone, jnp.array([0, 2, 2], jnp.int32)))
    begin = 0
    for number, (_, size) in enumerate(lengths):
        mine = together[begin : begin + size]
        np.testing.assert_allclose(mine, each[number, :size], atol=1e-5)
        begin += size
    plain = np.asarray(logits(alone, jnp.zeros(3, jnp.int32)))
    assert np.abs(plain[1, :6] - each[1, :6]).max() > 1e-3  # that exception is one
    assert np.isfinite(together).all()  # of padding, too


@pytest.mark.long
def test_a_packed_task_trains(key):
    spec = TaskSpec(
        "wmt_transformer",
        {**TINY, "packed": True},
        DataSpec("bible_translation"),
        2,
    )
    assert isinstance(spec.view, PackedPairView) and spec.to_json()["config"]["packed"] is True
    batch = velodrome.open_source(spec, "heldout").batch(0, 0, 2)
    assert int(batch["target_segment"].max()) == 1
    batch = velodrome.open_source(spec, "train").batch(0, 0, 2)
    assert int(batch["target_segment"].max()) > 1
    task = velodrome.build(spec)

    @quick
    def loss(key, batch):
        params, state = task.init(key)
        return task.loss(params, state, key, batch, train=True)[0]

    assert np.isfinite(loss(key, batch))
