"""Losses are what their docstrings say: formula, divisor of the mean, subgradients, defaults and ranges."""

import inspect
import re

import numpy as np
import pytest
from numpy import exp, log, maximum, sqrt

import minigrad as mg
import nn
from tests.nn.module_table import LOSSES, Sizes

every_loss = pytest.mark.parametrize("name", LOSSES)


# --- formulas: (inputs, settings) -> each loss, and what its sum is divided by for "mean"


def over_elements(losses):
    return losses, losses.size


def huber(d, delta):
    return np.where(abs(d) <= delta, d**2 / 2, delta * (abs(d) - delta / 2))


def smooth_l1(x, y, beta):
    d = x - y
    return over_elements(np.where(abs(d) < beta, d**2 / (2 * beta), abs(d) - beta / 2) if beta else abs(d))


def with_logits(x, y, weight=1, pos_weight=1):
    s = 1 / (1 + exp(-x))
    return over_elements(-weight * (pos_weight * y * log(s) + (1 - y) * log(1 - s)))


def classes_last(x):
    return np.moveaxis(x, min(1, x.ndim - 1), -1)


def cross_entropy(x, target, weight=None, ignore_index=-100, label_smoothing=0.0):
    x = classes_last(x)
    n = x.shape[-1]
    w = np.ones(n) if weight is None else weight
    labels = target.dtype.kind != "f"
    q = np.eye(n)[target] if labels else classes_last(target)
    counts = target != ignore_index if labels else np.ones(x.shape[:-1])
    q = (1 - label_smoothing) * q + label_smoothing / n
    losses = counts * -(q * w * (x - log(exp(x).sum(-1, keepdims=True)))).sum(-1)
    return losses, (counts * w[target]).sum() if labels else losses.size


def nll(x, labels, weight=None, ignore_index=-100):
    x = classes_last(x)
    w = (np.ones(x.shape[-1]) if weight is None else weight)[labels] * (labels != ignore_index)
    return -w * np.take_along_axis(x, labels[..., None], -1)[..., 0], w.sum()


def cosine_embedding(x1, x2, target, margin):
    cosine = (x1 * x2).sum(-1) / sqrt(((x1**2).sum(-1) + 1e-12) * ((x2**2).sum(-1) + 1e-12))
    return over_elements(np.where(target == 1, 1 - cosine, maximum(0, cosine - margin)))


FORMULAS = {
    "BCELoss": lambda x, y, weight=1: over_elements(-weight * (y * log(x) + (1 - y) * log(1 - x))),
    "BCEWithLogitsLoss": with_logits,
    "CosineEmbeddingLoss": cosine_embedding,
    "CrossEntropyLoss": cross_entropy,
    "HingeEmbeddingLoss": lambda x, y, margin: over_elements(np.where(y == 1, x, maximum(0, margin - x))),
    "HuberLoss": lambda x, y, delta: over_elements(huber(x - y, delta)),
    "KLDivLoss": lambda x, y, log_target: over_elements(exp(y) * (y - x) if log_target else y * (log(y) - x)),
    "L1Loss": lambda x, y: over_elements(abs(x - y)),
    "MSELoss": lambda x, y: over_elements((x - y) ** 2),
    "NLLLoss": nll,
    "SmoothL1Loss": smooth_l1,
}


@every_loss
def test_is_the_formula_reduced_as_documented(name):
    for seed, case in enumerate(LOSSES[name]):
        rng, sizes = np.random.default_rng(seed), Sizes()
        inputs = [np.asarray(x) for x in case.inputs(rng, sizes)]
        _, settings = case.arguments(rng, sizes)
        answer = getattr(nn, name)(**settings)(*map(mg.tensor, inputs))
        reduction = settings.pop("reduction")
        losses, divisor = FORMULAS[name](*inputs, **settings)
        divisor = {"mean": divisor, "batchmean": len(inputs[0])}.get(reduction, 1)
        np.testing.assert_allclose(answer.numpy(), losses if reduction == "none" else losses.sum() / divisor, 1e-12)


# --- kinks and edges


@pytest.mark.parametrize(
    ("loss", "inputs", "derivative"),
    [
        (nn.L1Loss(reduction="sum"), ([2.0], [2.0]), [0]),
        (nn.SmoothL1Loss(reduction="sum", beta=0), ([2.0], [2.0]), [0]),
        (nn.SmoothL1Loss(reduction="sum", beta=0.5), ([0.25, 0.5, -3.0], [0.0, 0.0, 0.0]), [0.5, 1, -1]),
        (nn.HuberLoss(reduction="sum", delta=0.5), ([0.25, 0.5, -3.0], [0.0, 0.0, 0.0]), [0.25, 0.5, -0.5]),
        (nn.BCELoss(reduction="sum"), ([0.0, 1.0, 0.5, 1.0], [1.0, 0.0, 1.0, 1.0]), [-1e12, 1e12, -2, 0]),
        (nn.HingeEmbeddingLoss(reduction="sum"), ([1.0, 1.5, 0.5, 0.5], [-1, -1, -1, 0]), [-1, 0, -1, 0]),
        (nn.CosineEmbeddingLoss(), ([1.0, 0.0], [0.0, 1.0], -1), [0, 1]),
        (nn.CosineEmbeddingLoss(), ([1.0, 0.0], [0.0, 1.0], 0), [0, 0]),
    ],
    ids=str,
)
def test_the_derivative_at_a_kink(loss, inputs, derivative):
    x, *others = [
        mg.tensor(given, dtype=None if np.asarray(given).dtype.kind == "i" else "float64") for given in inputs
    ]
    x.requires_grad = True
    np.testing.assert_allclose(mg.grad(loss(x, *others), x).numpy(), derivative, 1e-11, 1e-11)


def test_the_derivative_of_a_divergence_by_a_target_of_0():
    y = mg.tensor([0.0, 1.0], dtype="float64", requires_grad=True)
    assert mg.grad(nn.KLDivLoss(reduction="sum")(mg.tensor([-0.5, -0.5], dtype="float64"), y), y).tolist() == [0.5, 1.5]


def test_edges():
    one, zero = mg.tensor([2.0]), mg.tensor([0.0])
    assert nn.HuberLoss(delta=np.inf)(one, zero).item() == 2
    assert nn.SmoothL1Loss(beta=np.inf)(one, zero).item() == 0
    assert nn.CosineEmbeddingLoss()(zero, one, 1).item() == 1
    assert nn.HingeEmbeddingLoss()(mg.tensor([0.25]), [0]).item() == 1
    assert nn.BCELoss()(zero, mg.tensor([1.0])).item() == 100
    assert np.isnan(nn.CrossEntropyLoss(weight=[0.0, 1.0])(mg.tensor([[1.0, 2.0]]), [0]).item())
    assert np.isnan(nn.NLLLoss(ignore_index=0)(mg.tensor([[1.0, 2.0]]), [0]).item())


def test_a_weight_is_a_buffer_and_gets_no_gradient():
    weight = mg.tensor([1.0, 2.0], requires_grad=True)
    for loss in (nn.BCELoss(weight), nn.BCEWithLogitsLoss(weight), nn.CrossEntropyLoss(weight), nn.NLLLoss(weight)):
        assert list(loss.state_dict()) == ["weight"]
        assert not loss.weight.requires_grad


@every_loss
def test_gradients_flow_to_targets_that_are_no_labels_or_signs(name):
    case = LOSSES[name][-1]
    *others, target = map(mg.tensor, case.inputs(np.random.default_rng(0), Sizes()))
    flows = target.dtype.kind == "f"
    assert flows == (name not in ("NLLLoss", "CosineEmbeddingLoss", "HingeEmbeddingLoss"))
    if flows:
        target.requires_grad = True
        answer = getattr(nn, name)(reduction="sum")(*others, target)
        assert mg.grad(answer, target).numpy().any()


# --- errors


@every_loss
def test_what_is_refused(name):
    Loss, case = getattr(nn, name), LOSSES[name][0]
    inputs = [np.asarray(x) for x in case.inputs(np.random.default_rng(0), Sizes())]
    if inputs[0].ndim == 1:
        inputs = [x[None] for x in inputs]
    with pytest.raises(ValueError, match=f"{name}: reduction must be one of .* got 'average'"):
        Loss(reduction="average")
    with pytest.raises(ValueError, match="empty batch"):
        Loss()(*(x[:0] for x in inputs))
    with pytest.raises(ValueError, match=r"agree|of the same shape|labels of shape|a target"):
        Loss()(*inputs[:-1], inputs[-1][None])
    with pytest.raises(TypeError, match="type str"):
        Loss()(*inputs[:-1], "a")


# --- docstrings


def described(name):
    """Argument -> what a docstring says of it, on one line."""
    lines = re.findall(r"^([a-z]\w*(?:, \w+)*): (.*(?:\n {4}.*)*)", inspect.getdoc(getattr(nn, name)), re.MULTILINE)
    return {argument: re.sub(r"\s+", " ", text) for names, text in lines for argument in names.split(", ")}


@every_loss
def test_documents_every_argument_and_its_default(name):
    Loss, said = getattr(nn, name), described(name)
    defaults = {p.name: p.default for p in inspect.signature(Loss).parameters.values()}
    assert said.keys() == defaults.keys() | inspect.signature(Loss.forward).parameters.keys() - {"self"}
    assert "Answer: of shape ()" in said["target"]
    assert re.findall(r'"(\w+)"', said["reduction"].partition(" Default")[0])[:3] == ["mean", "sum", "none"]
    for argument, default in defaults.items():
        stated = re.search(r'Default ("\w+"|[^\s,;:]+)', said[argument])
        assert eval(stated[1].rstrip(".")) == default, f"{name}: {argument}"


@every_loss
def test_documents_its_errors_and_shows_numbers(name):
    text = inspect.getdoc(getattr(nn, name))
    assert re.search(r"^Raises ValueError for another reduction.*\n(.+\n)*.*TypeError", text, re.MULTILINE)
    assert re.search(rf"nn\.{name}\(.*\)\(.*\n(.*\n)*.*\d\.\d", text)
