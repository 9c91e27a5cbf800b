"""Every layer and loss on random inputs: derivatives against differences, types, memory layouts, identities."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import minigrad as mg
import nn
import nn.functional as F
from tests.gradients import check_fit
from tests.minigrad.operation_table import laid_out, layouts
from tests.nn.module_table import LOSSES, TABLE, Case, Sizes, built

quick = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
seeds = st.integers(0, 2**32 - 1)
sizes = st.builds(Sizes, n=st.integers(2, 4), c=st.integers(2, 4), length=st.integers(1, 3))


@st.composite
def examples(draw, name, exact=False):
    """A module, its inputs, and the case that they are of."""
    case: Case = draw(st.sampled_from([case for case in TABLE[name] if case.exact or not exact]))
    rng, size = np.random.default_rng(draw(seeds)), draw(sizes)
    if name == "LayerNorm":  # of one or two elements it is a step, and its derivatives vanish
        size.length = max(size.length, 3)
    inputs = [np.asarray(x) for x in case.inputs(rng, size)]
    return built(name, case.arguments(rng, size)).train(case.training), inputs, case


def tensors(inputs, dtype=None):
    made = []
    for x in inputs:
        if x.dtype.kind == "f":
            x = mg.tensor(x, dtype=dtype, requires_grad=True)
        made.append(x)
    return made


@pytest.mark.parametrize("name", sorted(TABLE))
@settings(quick, max_examples=12)
@given(data=st.data())
def test_derivatives_to_second_order(name, data):
    module, inputs, _ = data.draw(examples(name, exact=True))
    constants = [None if x.dtype.kind == "f" else x for x in inputs]
    parameters = dict(module.named_parameters())

    def call(*xs):
        left = iter(xs)
        args = [next(left) if constant is None else constant for constant in constants]
        return nn.functional_call(module, dict(zip(parameters, left, strict=True)), tuple(args))

    xs = [x for x in tensors(inputs) if isinstance(x, mg.Tensor)]
    assert mg.gradcheck(call, [*xs, *parameters.values()])


@pytest.mark.parametrize("name", sorted(TABLE))
@settings(quick, max_examples=8)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float16]), layout=layouts)
def test_types_and_layouts(name, data, dtype, layout):
    module, inputs, _ = data.draw(examples(name))
    wanted = module(*tensors(inputs))
    again = [x if x.dtype.kind != "f" else laid_out(x, layout) for x in inputs]
    np.testing.assert_allclose(module(*again), wanted.numpy(), rtol=1e-12, atol=1e-14)
    xs = tensors(inputs, dtype)
    out = module.to(dtype=dtype)(*xs)
    assert out.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(out.numpy(), wanted.numpy(), rtol=200 * eps, atol=200 * eps)
    if out.requires_grad:
        differentiable = [x for x in [*xs, *module.parameters()] if isinstance(x, mg.Tensor)]
        with np.errstate(all="ignore"):
            check_fit([module(*xs)], differentiable)
        out.backward(np.ones(out.shape, dtype))
        for x in [*xs, *module.parameters()]:
            if isinstance(x, mg.Tensor) and x.grad is not None:
                assert x.grad.dtype == dtype
                assert x.grad.shape == x.shape


@pytest.mark.parametrize("name", sorted(LOSSES))
@settings(quick, max_examples=10)
@given(data=st.data())
def test_reductions_agree(name, data):
    module, inputs, _ = data.draw(examples(name))
    losses = {}
    for module.reduction in ("none", "sum", "mean"):
        losses[module.reduction] = module(*inputs)
    np.testing.assert_allclose(losses["sum"], np.sum(losses["none"]))
    weighted = name in ("CrossEntropyLoss", "NLLLoss") and module.weight is not None
    if getattr(module, "ignore_index", -100) == -100 and not weighted:
        np.testing.assert_allclose(losses["mean"], np.mean(losses["none"]))


matrices = st.builds(
    lambda seed, n, c: np.random.default_rng(seed).normal(size=(n, c)) * 3, seeds, st.integers(1, 5), st.integers(2, 5)
)
identity = lambda *strategies, **named: lambda test: settings(quick, max_examples=25)(given(*strategies, **named)(test))


@identity(matrices, seeds)
def test_cross_entropy_is_nll_of_log_softmax(x, seed):
    labels = np.random.default_rng(seed).integers(0, x.shape[1], len(x))
    wanted = F.nll_loss(F.log_softmax(x, 1), labels)
    np.testing.assert_allclose(F.cross_entropy(x, labels), wanted)
    np.testing.assert_allclose(F.cross_entropy(x, np.eye(x.shape[1])[labels]), wanted)
    np.testing.assert_allclose(F.cross_entropy(x[..., None], labels[:, None]), wanted)


@identity(matrices, seeds)
def test_ignored_examples_count_for_nothing(x, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, x.shape[1], len(x))
    kept = rng.random(len(x)) < 0.6
    assume(kept.any())
    tensor = mg.tensor(x, requires_grad=True)
    weight = rng.uniform(0.5, 2, x.shape[1])
    for smoothing in (0.0, 0.1):
        for w in (None, weight):
            some = {"weight": w, "label_smoothing": smoothing}
            loss = F.cross_entropy(tensor, np.where(kept, labels, -100), **some)
            np.testing.assert_allclose(loss.item(), F.cross_entropy(x[kept], labels[kept], **some))
            assert not mg.grad(loss, tensor).numpy()[~kept].any()


@identity(matrices)
def test_smoothing_is_a_mixture(x):
    labels = np.arange(len(x)) % x.shape[1]
    even = np.full_like(x, 1 / x.shape[1])
    wanted = 0.7 * F.cross_entropy(x, labels) + 0.3 * F.cross_entropy(x, even)
    np.testing.assert_allclose(F.cross_entropy(x, labels, label_smoothing=0.3), wanted)


@identity(matrices, seeds)
def test_binary_cross_entropy_of_probabilities_and_of_logits(x, seed):
    y = np.random.default_rng(seed).uniform(size=x.shape)
    np.testing.assert_allclose(F.binary_cross_entropy(mg.sigmoid(x), y), F.binary_cross_entropy_with_logits(x, y))
    ones = np.ones(x.shape)
    np.testing.assert_allclose(
        F.binary_cross_entropy_with_logits(x, y, pos_weight=ones), F.binary_cross_entropy_with_logits(x, y)
    )


@identity(matrices, seeds)
def test_huber_between_squares_and_distances(x, seed):
    y = np.random.default_rng(seed).normal(size=x.shape)
    np.testing.assert_allclose(F.huber_loss(x, y, delta=0.5), 0.5 * F.smooth_l1_loss(x, y, beta=0.5))
    np.testing.assert_allclose(F.huber_loss(x, y, delta=1e3), F.mse_loss(x, y) / 2)
    np.testing.assert_allclose(F.smooth_l1_loss(x, y, beta=1e-12), F.l1_loss(x, y), rtol=1e-9)


@identity(matrices, seeds)
def test_divergence_is_positive_and_zero_of_itself(x, seed):
    p = F.softmax(np.random.default_rng(seed).normal(size=x.shape), 1)
    assert F.kl_div(F.log_softmax(x, 1), p, reduction="batchmean") >= -1e-12
    np.testing.assert_allclose(F.kl_div(np.log(p), p), 0, atol=1e-15)
    np.testing.assert_allclose(
        F.kl_div(F.log_softmax(x, 1), np.log(p), log_target=True), F.kl_div(F.log_softmax(x, 1), p)
    )


@identity(matrices)
def test_layer_norm_standardizes_rows_and_batch_norm_columns(x):
    assume(len(x) > 1)
    for out, axis in ((nn.LayerNorm(x.shape[1], eps=0)(x), 1), (nn.BatchNorm1d(x.shape[1], eps=0)(x), 0)):
        np.testing.assert_allclose(out.numpy().mean(axis), 0, atol=1e-6)
        np.testing.assert_allclose(out.numpy().var(axis), 1, rtol=1e-5)
    np.testing.assert_allclose(F.layer_norm(x, x.shape[1:]), F.layer_norm(3 * x + 7, x.shape[1:], eps=9e-5), rtol=1e-6)


@identity(matrices, seeds)
def test_embedding_is_one_hot_times_weight(weight, seed):
    chosen = np.random.default_rng(seed).integers(0, len(weight), (2, 3))
    w, v = (mg.tensor(weight, requires_grad=True) for _ in range(2))
    out, wanted = F.embedding(chosen, w), mg.one_hot(chosen, len(weight), dtype=np.float64) @ v
    np.testing.assert_array_equal(out.numpy(), wanted.numpy())
    (out * out).sum().backward()
    (wanted * wanted).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), v.grad.numpy())


@identity(matrices, st.floats(0, 1), seeds)
def test_dropout_drops_or_scales(x, p, seed):
    mg.manual_seed(seed)
    tensor = mg.tensor(x, requires_grad=True)
    out = F.dropout(tensor, p)
    kept = out.numpy() != 0
    np.testing.assert_allclose(out.numpy()[kept], x[kept] / (1 - p) if p < 1 else [])
    np.testing.assert_allclose(mg.grad(out.sum(), tensor).numpy(), kept / (1 - p) if p < 1 else 0 * x)
    mg.manual_seed(seed)
    np.testing.assert_array_equal(F.dropout(x.astype(np.float32), p) != 0, kept)
    assert F.dropout(tensor, p, training=False) is tensor


def test_dropout_drops_the_share_that_it_is_told_to():
    mg.manual_seed(0)
    for p in (0.1, 0.5, 0.8):
        dropped = (F.dropout(np.ones(40_000), p) == 0).mean()
        assert abs(dropped - p) < 4 * np.sqrt(p * (1 - p) / 40_000)


@identity(matrices, seeds)
def test_weights_of_elements(x, seed):
    rng = np.random.default_rng(seed)
    y, weight = rng.normal(size=x.shape), rng.uniform(0.5, 2, x.shape)
    for loss in (F.mse_loss, F.l1_loss, F.huber_loss):
        each = loss(x, y, reduction="none") * weight
        np.testing.assert_allclose(loss(x, y, weight=weight, reduction="none"), each)
        np.testing.assert_allclose(loss(x, y, weight=weight, reduction="sum"), each.sum())
        total = weight.size if loss is F.huber_loss else weight.sum()
        np.testing.assert_allclose(loss(x, y, weight=weight), each.sum() / total)
