"""Logits of ±1000, probabilities of 0 and 1, empty and ignored batches: finite values and gradients."""

import numpy as np
import pytest

import minigrad as mg
import nn.functional as F

HUGE = np.array([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 1000.0], [-1000.0, -1000.0, -1000.0]])
LABELS = np.array([1, 0, 2])
HARD = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, 0.0, 0.5]])
CALLS = {
    "cross_entropy": lambda x: F.cross_entropy(x, LABELS),
    "cross_entropy, each": lambda x: F.cross_entropy(x, LABELS, reduction="none"),
    "cross_entropy, smoothed": lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1),
    "cross_entropy, probabilities": lambda x: F.cross_entropy(x, HARD),
    "nll_loss": lambda x: F.nll_loss(F.log_softmax(x, 1), LABELS),
    "binary_cross_entropy_with_logits": lambda x: F.binary_cross_entropy_with_logits(x, HARD),
    "binary_cross_entropy_with_logits, weighted": lambda x: F.binary_cross_entropy_with_logits(
        x, HARD, pos_weight=np.array([1.0, 2.0, 3.0])
    ),
    "kl_div": lambda x: F.kl_div(F.log_softmax(x, 1), HARD),
    "softplus": lambda x: F.softplus(x),
    "softmax": lambda x: F.softmax(x, 1),
    "sigmoid": F.sigmoid,
    "silu": F.silu,
    "gelu": F.gelu,
    "elu": F.elu,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CALLS)
def test_huge_inputs(name, dtype):
    x = mg.tensor(HUGE, dtype=dtype, requires_grad=True)
    out = CALLS[name](x)
    total = out.sum()
    (first,) = mg.grad(total, [x], create_graph=True)
    second = mg.grad((first * first).sum(), x, allow_unused=True)
    for value in (out, first, second):
        assert value is None or np.isfinite(value.numpy()).all()


def test_values_at_the_extremes():
    assert F.cross_entropy(HUGE, LABELS, reduction="none").tolist() == [2000.0, 2000 + np.log(2), np.log(3)]
    logits = mg.tensor([1000.0, -1000.0, 1000.0, -1000.0], requires_grad=True)
    losses = F.binary_cross_entropy_with_logits(logits, np.array([1.0, 0.0, 0.0, 1.0]), reduction="none")
    assert losses.tolist() == [0, 0, 1000, 1000]
    assert mg.grad(losses.sum(), logits).tolist() == [0, 0, 1, -1]


def test_certain_probabilities():
    p = mg.tensor([0.0, 1.0, 1.0, 0.0], requires_grad=True)
    y = mg.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    losses = F.binary_cross_entropy(p, y, reduction="none")
    assert losses.tolist() == [0, 0, 100, 100]
    by_p, by_y = mg.grad(losses.sum(), [p, y])
    np.testing.assert_allclose(by_p.numpy(), [0, 0, 1e12, -1e12])
    assert by_y.tolist() == [100, -100, -100, 100]


def test_where_all_labels_are_ignored():
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)
    for smoothing in (0.0, 0.1):
        loss = F.cross_entropy(x, np.array([-100, -100]), label_smoothing=smoothing)
        assert np.isnan(loss.item())
        assert not mg.grad(loss, x).numpy().any()
        assert F.cross_entropy(x, np.array([-100, -100]), reduction="sum", label_smoothing=smoothing).item() == 0


def test_empty_batches():
    empty = np.zeros((0, 3))
    logits = F.binary_cross_entropy_with_logits
    for call in (F.mse_loss, F.l1_loss, F.huber_loss, F.smooth_l1_loss, F.kl_div, F.binary_cross_entropy, logits):
        with pytest.raises(ValueError, match="empty batch"):
            call(empty, empty)
        assert call(empty, empty, reduction="sum") == 0
        assert call(empty, empty, reduction="none").shape == (0, 3)
    labels = np.zeros(0, int)
    with pytest.raises(ValueError, match="empty batch"):
        F.cross_entropy(empty, labels)
    assert F.cross_entropy(empty, labels, reduction="sum") == 0


def test_infinite_differences():
    x = mg.tensor([np.inf, -np.inf], requires_grad=True)
    for loss in (F.huber_loss(x, np.zeros(2), "sum"), F.smooth_l1_loss(x, np.zeros(2), reduction="sum")):
        assert loss.item() == np.inf
        assert mg.grad(loss, x).tolist() == [1, -1]


def test_a_constant_row_has_no_variance():
    x = mg.tensor(np.full((2, 3), 7.0), requires_grad=True)
    out = F.layer_norm(x, (3,))
    assert not out.numpy().any()
    assert np.isfinite(mg.grad(out.sum(), x).numpy()).all()


BEYOND_HALF = {
    "layer_norm": (lambda x: F.layer_norm(x, (64,)), np.linspace(0, 700, 64)),
    "var": (lambda x: mg.var(x), np.linspace(0, 700, 64)),
    "std": (lambda x: mg.std(x), np.linspace(0, 1e4, 64)),
    "norm": (lambda x: mg.norm(x), np.ones(100_000)),
    "mse_loss": (lambda x: F.mse_loss(x, mg.tensor(np.zeros_like(x.data))), np.ones(100_000)),
    "max": (lambda x: mg.max(x), np.ones(70_000)),
}


@pytest.mark.parametrize("name", BEYOND_HALF)
def test_what_lies_between_may_be_beyond_float16(name):
    f, values = BEYOND_HALF[name]
    answers = {}
    for dtype in (np.float16, np.float64):
        x = mg.tensor(values.astype(np.float16).astype(dtype), requires_grad=True)
        y = f(x)
        y.sum().backward()
        assert y.dtype == x.grad.dtype == dtype
        answers[dtype] = y.numpy().astype(float), x.grad.numpy().astype(float)
    for half, double in zip(*answers.values(), strict=True):
        np.testing.assert_allclose(half, double, rtol=4e-3, atol=2e-3 * np.abs(double).max() + 2e-4)
