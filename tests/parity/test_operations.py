"""Value, gradient and second gradient of every operation that torch has, with every option, kinks included."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parity

rng = np.random.default_rng(0)
X = rng.standard_normal((2, 3, 4))
Y = rng.standard_normal((3, 1))
UNIT = rng.uniform(-0.9, 0.9, (2, 3))
POSITIVE = rng.uniform(0.2, 3, (2, 3))
KINKS = np.array([-3.0, -1.0, -0.0, 0.0, 1.0, 3.0])
TIED = np.array([[1.0, 2.0, 2.0, 0.0], [3.0, 3.0, 3.0, -1.0], [0.0, 0.0, -1.0, 5.0]])
ZEROS = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [1.0, 2.0, -3.0]])
SQUARE = rng.standard_normal((4, 4))
SMOOTH = [
    "negative", "positive", "sign", "absolute", "square", "exp", "expm1", "sin", "cos", "tan", "arctan", "sinh", "cosh",
    "tanh", "erf", "sigmoid",
]  # fmt: skip
LABELS = np.array([[0, 2, 2], [1, 0, 3]])
t = torch.from_numpy


def same(name, *arrays, torch_name=None, **options):
    """A function that both call by the same name, with the same arguments."""
    ours, theirs = getattr(mg, name), getattr(torch, torch_name or name)
    return name, lambda *xs: ours(*xs, **options), lambda *xs: theirs(*xs, **options), arrays


def over_axes(name, x, theirs, axes=(None, 0, -1, (0, -1), (0, 1, 2)), **options):
    """A reduction over several choices of axes, with and without keepdims."""
    ours = getattr(mg, name)
    for axis in axes:
        for keepdims in (False, True):
            dim = tuple(range(x.ndim)) if axis is None else axis
            yield (
                name,
                lambda x, axis=axis, keepdims=keepdims: ours(x, axis=axis, keepdims=keepdims, **options),
                lambda x, dim=dim, keepdims=keepdims: theirs(x, dim, keepdims),
                (x,),
            )


def torch_prod(x, dim, keepdim):
    for d in sorted((d % x.ndim for d in (dim if isinstance(dim, tuple) else (dim,))), reverse=True):
        x = torch.prod(x, d, keepdim=keepdim)
    return x


def norms():
    for order in (None, 0, 1, 2, 3, 1.5, 0.5, -1, np.inf, -np.inf):
        arrays = [X]
        if order not in (1.5, 0.5, -1):  # whose second derivatives torch gives as NaN where an element is 0
            arrays.append(TIED)
        if order in (None, 1, 2, 3):
            arrays.append(np.zeros((2, 3)))
        for x in arrays:
            for axis in (0, -1):
                yield (
                    "norm",
                    lambda x, order=order, axis=axis: mg.norm(x, order, axis),
                    lambda x, order=order, axis=axis: torch.linalg.vector_norm(x, 2 if order is None else order, axis),
                    (x,),
                )
    for order in ("fro", 1, -1, np.inf, -np.inf):
        yield (
            "norm",
            lambda x, order=order: mg.norm(x, order, (0, 2), keepdims=True),
            lambda x, order=order: torch.linalg.matrix_norm(x, order, (0, 2), keepdim=True),
            (X,),
        )
    yield "norm", mg.norm, torch.linalg.norm, (X,)


def calls():
    for name in ("add", "subtract", "multiply", "divide"):
        yield same(name, X, Y)
    yield "power", mg.power, torch.pow, (POSITIVE, UNIT)
    for exponent in (0, 1, 2, 3, 0.5, -1):
        yield (
            "power",
            lambda x, e=exponent: x**e,
            lambda x, e=exponent: x**e,
            (KINKS if exponent in (0, 1, 2, 3) else POSITIVE,),
        )
    yield "power", lambda x: 2**x, lambda x: 2**x, (X,)
    for name in ("maximum", "minimum"):
        yield same(name, X, Y)
        yield same(name, KINKS, KINKS[::-1].copy())
        yield same(name, KINKS, KINKS.copy())
    for name in SMOOTH:
        yield same(name, X)
        yield same(name, KINKS)
    for name in ("log", "log1p", "log2", "sqrt", "reciprocal"):
        yield same(name, POSITIVE)
    for name in ("arcsin", "arccos"):
        yield same(name, UNIT)
    yield "remainder", mg.remainder, torch.remainder, (X, Y)
    yield "floor_divide", lambda x: x // 0.7, lambda x: torch.floor_divide(x.detach(), 0.7), (X,)
    for x in (X, KINKS):
        yield "relu", mg.relu, F.relu, (x,)
        yield "silu", mg.silu, F.silu, (x,)
        yield "softplus", mg.softplus, F.softplus, (x,)
        yield "gelu", mg.gelu, F.gelu, (x,)
        yield "gelu", lambda x: mg.gelu(x, "tanh"), lambda x: F.gelu(x, approximate="tanh"), (x,)
        for slope in (0.01, 0.3):
            yield "leaky_relu", lambda x, s=slope: mg.leaky_relu(x, s), lambda x, s=slope: F.leaky_relu(x, s), (x,)
        for alpha in (1.0, 0.4):
            yield "elu", lambda x, a=alpha: mg.elu(x, a), lambda x, a=alpha: F.elu(x, a), (x,)
        for bounds in ((-1.0, 1.0), (None, 1.0), (-1.0, None), (1.0, -1.0)):
            yield "clip", lambda x, b=bounds: mg.clip(x, *b), lambda x, b=bounds: torch.clamp(x, *b), (x,)
    yield "clip", mg.clip, torch.clamp, (X, Y - 1, Y + 1)
    yield "clip", mg.clip, torch.clamp, (KINKS, np.full(6, -1.0), np.full(6, 1.0))
    yield "where", lambda x, y: mg.where(X > 0, x, y), lambda x, y: torch.where(t(X > 0), x, y), (X, Y)

    yield from over_axes("sum", X, torch.sum)
    yield from over_axes("mean", X, torch.mean)
    yield from over_axes("max", X, torch.amax)
    yield from over_axes("max", TIED, torch.amax, (None, 0, 1, (0, 1)))
    yield from over_axes("min", TIED, torch.amin, (None, 0, 1, (0, 1)))
    yield from over_axes("logsumexp", X, torch.logsumexp)
    yield from over_axes("prod", X, torch_prod)
    yield from over_axes("prod", ZEROS, torch_prod, (None, 0, 1, (0, 1)))
    for ddof in (0, 1):
        yield from over_axes("var", X, lambda x, d, k, n=ddof: torch.var(x, d, correction=n, keepdim=k), ddof=ddof)
        yield from over_axes("std", X, lambda x, d, k, n=ddof: torch.std(x, d, correction=n, keepdim=k), ddof=ddof)
    yield "std", mg.std, lambda x: torch.std(x, correction=0), (np.full(3, 2.0),)
    yield from norms()
    for axis in (0, -1):
        yield "cumsum", lambda x, a=axis: mg.cumsum(x, a), lambda x, a=axis: torch.cumsum(x, a), (X,)
        yield "softmax", lambda x, a=axis: mg.softmax(x, a), lambda x, a=axis: torch.softmax(x, a), (X,)
        yield "log_softmax", lambda x, a=axis: mg.log_softmax(x, a), lambda x, a=axis: torch.log_softmax(x, a), (X,)

    yield same("reshape", X, shape=(4, -1))
    yield "ravel", mg.ravel, torch.ravel, (X,)
    yield "transpose", lambda x: mg.transpose(x, (2, 0, -2)), lambda x: x.permute(2, 0, 1), (X,)
    yield "swapaxes", lambda x: mg.swapaxes(x, 0, -1), lambda x: torch.swapaxes(x, 0, -1), (X,)
    yield "squeeze", mg.squeeze, torch.squeeze, (Y,)
    yield "squeeze", lambda x: mg.squeeze(x, -1), lambda x: torch.squeeze(x, -1), (Y,)
    yield "expand_dims", lambda x: mg.expand_dims(x, 1), lambda x: torch.unsqueeze(x, 1), (X,)
    yield "broadcast_to", lambda x: mg.broadcast_to(x, (2, 3, 4)), lambda x: torch.broadcast_to(x, (2, 3, 4)), (Y,)
    for axis in (0, -1):
        yield "concatenate", lambda *x, a=axis: mg.concatenate(x, a), lambda *x, a=axis: torch.cat(x, a), (X, X + 1, X)
        yield "stack", lambda *x, a=axis: mg.stack(x, a), lambda *x, a=axis: torch.stack(x, a), (X, X + 1)
    yield "split", lambda x: mg.split(x, 2, -1)[1], lambda x: torch.tensor_split(x, 2, -1)[1], (X,)
    yield "split", lambda x: mg.split(x, [1, 3], 2)[1], lambda x: torch.tensor_split(x, [1, 3], 2)[1], (X,)
    yield "pad", lambda x: mg.pad(x, ((0, 0), (1, 2), (0, 3))), lambda x: F.pad(x, (0, 3, 1, 2)), (X,)
    yield "pad", lambda x: mg.pad(x, 1, constant_values=2.5), lambda x: F.pad(x, (1,) * 6, value=2.5), (X,)
    for mode, torch_mode in (("edge", "replicate"), ("reflect", "reflect"), ("wrap", "circular")):
        yield (
            "pad",
            lambda x, m=mode: mg.pad(x, ((0, 0), (0, 0), (2, 1)), mode=m),
            lambda x, m=torch_mode: F.pad(x, (2, 1), mode=m),
            (X,),
        )
    yield "flip", lambda x: mg.flip(x, (0, -1)), lambda x: torch.flip(x, (0, -1)), (X,)
    yield "roll", lambda x: mg.roll(x, 5), lambda x: torch.roll(x, 5), (X,)
    yield "roll", lambda x: mg.roll(x, (1, -2), (0, 2)), lambda x: torch.roll(x, (1, -2), (0, 2)), (X,)
    yield "repeat", lambda x: mg.repeat(x, 3, 1), lambda x: torch.repeat_interleave(x, 3, 1), (X,)
    yield (
        "repeat",
        lambda x: mg.repeat(x, [0, 2, 1], 1),
        lambda x: x.repeat_interleave(torch.tensor([0, 2, 1]), 1),
        (X,),
    )
    yield "repeat", lambda x: mg.repeat(x, 2), lambda x: torch.repeat_interleave(x, 2), (X,)
    yield "getitem", lambda x: x[1:, ..., ::2], lambda x: x[1:, ..., ::2], (X,)
    yield "getitem", lambda x: x[[0, 1, 1], :, 2], lambda x: x[[0, 1, 1], :, 2], (X,)
    yield "getitem", lambda x: x[X > 0], lambda x: x[t(X > 0)], (X,)
    yield "take", lambda x: mg.take(x, LABELS), lambda x: torch.take(x, t(LABELS)), (X,)
    yield "take", lambda x: mg.take(x, [2, 0, 2], 1), lambda x: torch.index_select(x, 1, torch.tensor([2, 0, 2])), (X,)
    index = rng.integers(0, 3, (2, 5, 4))
    yield (
        "take_along_axis",
        lambda x: mg.take_along_axis(x, index, 1),
        lambda x: torch.take_along_dim(x, t(index), 1),
        (X,),
    )
    for offset in (-1, 0, 2):
        yield (
            "diagonal",
            lambda x, o=offset: mg.diagonal(x, o, 0, -1),
            lambda x, o=offset: torch.diagonal(x, o, 0, -1),
            (X,),
        )
        yield "trace", lambda x, o=offset: mg.trace(x, o), lambda x, o=offset: torch.diagonal(x, o).sum(), (SQUARE,)
    yield "one_hot", lambda x: x * mg.one_hot(LABELS, 4), lambda x: x * F.one_hot(t(LABELS), 4), (X,)

    a, b, v = X, rng.standard_normal((2, 4, 5)), rng.standard_normal(4)
    for pair in ((a, b), (a, v), (v, b), (v, v + 1), (X[0], b), (a[:, None], b), (a, b[0])):
        yield same("matmul", *pair)
    yield "dot", mg.dot, torch.dot, (v, v + 1)
    yield "dot", mg.dot, lambda a, b: torch.tensordot(a, b, ([-1], [-2])), (a, b)
    yield "outer", mg.outer, torch.outer, (v, v[:3] + 1)
    for notation, arrays in {
        "bij,bjk->bik": (a, b), "bij,bjk": (a, b), "...ij,...jk->...ki": (a, b), "bij,j->b": (a, v), "ii->i": (SQUARE,),
        "ii": (SQUARE,), "iij,j->ij": (rng.standard_normal((3, 3, 4)), v), "bij->": (a,), "bij->jb": (a,),
        "i,j->ij": (v, v), "bij,bij,j->i": (a, a + 1, v), "i,i->i": (v, v),
    }.items():  # fmt: skip
        yield "einsum", lambda *x, n=notation: mg.einsum(n, *x), lambda *x, n=notation: torch.einsum(n, *x), arrays
    weight, bias = rng.standard_normal((5, 4)), rng.standard_normal(5)
    for x in (v, X[0], X):
        yield "linear", mg.linear, F.linear, (x, weight)
        yield "linear", mg.linear, F.linear, (x, weight, bias)
    logits, targets = rng.standard_normal((6, 4)), np.array([0, 3, 1, 1, 2, 0])
    yield (
        "softmax_cross_entropy",
        lambda x: mg.softmax_cross_entropy(x, targets),
        lambda x: F.cross_entropy(x, t(targets)),
        (logits,),
    )
    yield "mean_squared_error", mg.mean_squared_error, F.mse_loss, (X, X + UNIT[:, :, None])
    yield (
        "logistic_loss",
        mg.logistic_loss,
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="none"),
        (X, rng.random(X.shape)),
    )
    yield "astype", lambda x: mg.astype(x, "float32") * 2, lambda x: x.to(torch.float32) * 2, (X,)


CALLS = list(calls())


@pytest.mark.parametrize("call", CALLS, ids=[f"{i}-{call[0]}" for i, call in enumerate(CALLS)])
def test_agrees_with_torch(call):
    _, ours, theirs, arrays = call
    xs = [mg.Tensor(x.copy()).requires_grad_() for x in arrays]
    ts = [torch.tensor(x, requires_grad=True) for x in arrays]
    out, torch_out = ours(*xs), theirs(*ts)
    assert out.shape == tuple(torch_out.shape)
    assert str(out.dtype) == str(torch_out.dtype).removeprefix("torch.")
    tolerance = {"rtol": 1e-10, "atol": 1e-11}
    np.testing.assert_allclose(out.numpy(), torch_out.detach().numpy(), **tolerance)
    if not torch_out.requires_grad:  # torch has no derivative
        return
    v = rng.standard_normal(out.shape).astype(out.dtype)
    found = [None] * len(xs)
    if out.requires_grad:
        found = mg.grad(out, xs, mg.Tensor(v), create_graph=True, allow_unused=True)
    wanted = torch.autograd.grad(
        torch_out, ts, t(v) if v.ndim else torch.tensor(v), create_graph=True, allow_unused=True
    )
    us = [rng.standard_normal(x.shape) for x in arrays]
    total, torch_total = mg.Tensor(np.zeros(())), torch.zeros((), dtype=torch.float64)
    for g, torch_g, x, u in zip(found, wanted, arrays, us, strict=True):
        ours_now = np.zeros_like(x) if g is None else g.numpy()
        theirs_now = np.zeros_like(x) if torch_g is None else torch_g.detach().numpy(force=True)
        np.testing.assert_allclose(ours_now, theirs_now, **tolerance)
        total = total if g is None else total + (g * u).sum()
        torch_total = torch_total if torch_g is None else torch_total + (torch_g * torch.as_tensor(u)).sum()
    second = [None] * len(xs)
    if total.requires_grad:
        second = mg.grad(total, xs, allow_unused=True)
    torch_second = [None] * len(xs)
    if torch_total.requires_grad:
        torch_second = torch.autograd.grad(torch_total, ts, allow_unused=True)
    if call[0] == "norm" and not arrays[0].any():
        return  # torch's second derivative of a norm at 0 is NaN, ours 0
    for g, torch_g, x in zip(second, torch_second, arrays, strict=True):
        ours_now = np.zeros_like(x) if g is None else g.numpy()
        theirs_now = np.zeros_like(x) if torch_g is None else torch_g.numpy(force=True)
        np.testing.assert_allclose(ours_now, theirs_now, **tolerance)


@pytest.mark.parametrize("name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
def test_comparisons(name):
    theirs = getattr(torch, {"equal": "eq"}.get(name, name))
    np.testing.assert_array_equal(getattr(mg, name)(KINKS, KINKS[:, None]), theirs(t(KINKS), t(KINKS[:, None])))


@pytest.mark.parametrize(
    "name", ["isnan", "isinf", "isfinite", "zeros_like", "ones_like", "argmax", "argmin", "any", "all"]
)
def test_constants(name):
    x = np.array([1.0, -2.0, math.inf, 3.0] + ([math.nan] if name.startswith("is") else []))
    np.testing.assert_array_equal(getattr(mg, name)(x), getattr(torch, name)(t(x)))


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "bitwise_and", "bitwise_or", "bitwise_xor"])
def test_logic(name):
    a, b = np.array([0, 1, 2, 3]), np.array([[1], [0], [3]])
    np.testing.assert_array_equal(getattr(mg, name)(a, b), getattr(torch, name)(t(a), t(b)))


@pytest.mark.parametrize(("name", "theirs"), [("logical_not", torch.logical_not), ("invert", torch.bitwise_not)])
def test_negation(name, theirs):
    for a in (np.array([0, 1, 2]), np.array([True, False])):
        np.testing.assert_array_equal(getattr(mg, name)(a), theirs(t(a)))


def test_every_operation_has_a_parity_test():
    parametrized = [test_comparisons, test_constants, test_logic]
    tested = {call[0] for call in CALLS} | {"logical_not", "invert"}
    tested |= {name for test in parametrized for name in test.pytestmark[0].args[1]}
    assert set(ops.__all__) - tested == {"to_device"}, "needs a second device"


@pytest.mark.parametrize(
    ("name", "theirs"),
    [("gelu", F.gelu), ("silu", F.silu), ("elu", F.elu), ("softplus", F.softplus), ("erf", torch.erf)],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out(name, theirs, dtype):
    x = np.array([-1000.0, -40.0, -5.0, 5.0, 40.0, 1000.0], dtype)
    ours, other = mg.Tensor(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    out, torch_out = getattr(mg, name)(ours), theirs(other)
    out.sum().backward()
    torch_out.sum().backward()
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(out.numpy(), torch_out.detach().numpy(), rtol=50 * eps, atol=50 * eps)
    np.testing.assert_allclose(ours.grad.numpy(), other.grad.numpy(), rtol=50 * eps, atol=50 * eps)
