"""Every operation alone, forward and forward with backward: ours, beside bare NumPy, MyGrad, HIPS autograd and torch.

    python benchmarks/ops.py [--quick] [--operations exp add ...] [--contestants torch ...] [--sides 4 1000]
                             [--dtype float64] [--out F]

Bare NumPy is what the forward and the rule call on small arrays, written by hand as straight lines: what we take above
it is the price of the tape. On large arrays ours may take fewer passes over memory than those lines, and less time.
Each contestant records its forward, as for training, and starts its backward from the same given gradient; values and
gradients must agree with ours before anything is timed. All are timed in turn in one run. What a library doesn't have
is left out. Some hand out memory of the given gradient as that of an input, where ours, which may be written to, is a
copy: such contestants are named under `borrowed` in the results.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import Burst, Others, figure, interleaved, package_version, print_table, report, write_json

import minigrad as mg
from minigrad.ops.elementwise import raw_erf

SIDES = (4, 1000)
"""Arrays are square matrices of this side: 16 elements, and a million."""
TARGET = 3.0
"""Microseconds above bare NumPy that forward and backward together may take on the smallest arrays."""
TOLERANCE = 1e-3
INPUTS = "xyabo"
"""Names of the inputs that want gradients; the gradient of `x` is called `dx`."""


class Row(NamedTuple):
    """One operation.

    call: how it is called, `m` being the library, on the names that `drawn` gives; a name in INPUTS wants a gradient.
    forward: the NumPy calls of the forward, which set `ans`.
    rules: those of the rules, which set `dx` and so on from `g`; empty where the operation has no derivative.
    others: how another library calls it, where not the same; None where it has no such operation.
    low, high: between what the inputs are drawn.
    """

    name: str
    call: str
    forward: str
    rules: str = ""
    others: dict[str, str | None] = {}
    low: float = -0.9
    high: float = 0.9


def unary(name: str, rule: str, low: float = -0.9, **others: str | None) -> Row:
    """The row of a function of one array that NumPy has."""
    return Row(name, f"m.{name}(x)", f"ans = np.{name}(x)", f"dx = {rule}", others, low)


def binary(name: str, by_x: str, by_y: str, low: float = -0.9, **others: str | None) -> Row:
    """The row of a function of two arrays that NumPy has."""
    return Row(name, f"m.{name}(x, y)", f"ans = np.{name}(x, y)", f"dx = {by_x}; dy = {by_y}", others, low)


def constant(name: str, arguments: str, **others: str | None) -> Row:
    """The row of a function that NumPy has and that has no derivative."""
    return Row(name, f"m.{name}({arguments})", f"ans = np.{name}({arguments})", "", others)


def larger(first: str, second: str) -> str:
    """The rule of a maximum: the whole gradient to the larger, half of it in a tie."""
    return f"np.where({first} < {second}, 0.0, g / (1 + ({first} == {second}).astype(g.dtype)))"


SIGMOID = "e = np.exp(-np.abs(x)); s = np.where(x >= 0, 1.0, e) / (1 + e)"
COLUMN = "g_ = g.reshape(n, 1); ans_ = ans.reshape(n, 1)"
EXTREMUM = (
    f"{COLUMN}; hit = (x == ans_) | (x != x); ties = hit.sum(axis=(1,), keepdims=True); "
    "dx = np.where(hit, g_ / ties.astype(g.dtype), 0.0)"
)
DIAGONAL = "dx = np.zeros((n, n), g.dtype); d = dx.diagonal(); d.flags.writeable = True; d[...] = g"
SOFTMAX = "e = np.exp(x - x.max(axis=-1, keepdims=True)); p = e / e.sum(axis=-1, keepdims=True)"

ROWS = [
    binary("add", "g", "g"),
    Row("add a row", "m.add(x, b)", "ans = np.add(x, b)", "dx = g; db = g.sum(axis=0)"),
    Row("add a number", "m.add(x, 2.0)", "ans = np.add(x, 2.0)", "dx = g"),
    binary("subtract", "g", "-g"),
    binary("multiply", "g * y", "g * x"),
    binary("divide", "g / y", "-g * ans / y", 0.1),
    binary("floor_divide", "np.zeros_like(g)", "np.zeros_like(g)", 0.1, mygrad=None, autograd=None, torch=None),
    binary("remainder", "g", "-g * np.floor_divide(x, y)", 0.1, mygrad=None),
    Row("power", "m.power(x, y)", "ans = x ** y",
        "dx = np.where(y == 0, 0.0, g * y * x ** np.where(y == 0, 1.0, y - 1)); "
        "dy = g * ans * np.log(np.where(x > 0, x, 1.0))", {"torch": "m.pow(x, y)"}, 0.1),
    Row("cube", "x ** 3", "ans = x ** 3", "dx = g * (3 * x ** 2)"),
    unary("positive", "g", autograd=None),
    unary("negative", "-g"),
    unary("absolute", "g * np.sign(x)"),
    unary("sign", "np.zeros_like(g)", mygrad=None, autograd=None),
    unary("exp", "g * ans"),
    unary("expm1", "g * (ans + 1)"),
    unary("log", "g / x", 0.1),
    unary("log1p", "g / (1 + x)"),
    unary("log2", "g / (x * 0.6931471805599453)", 0.1),
    unary("sqrt", "g / (2 * ans)", 0.1),
    unary("square", "g * (2 * x)"),
    unary("reciprocal", "-g * ans * ans", 0.1),
    unary("sin", "g * np.cos(x)"),
    unary("cos", "-g * np.sin(x)"),
    unary("tan", "g * (1 + ans * ans)"),
    unary("arcsin", "g / np.sqrt(1 - x * x)"),
    unary("arccos", "-g / np.sqrt(1 - x * x)"),
    unary("arctan", "g / (1 + x * x)"),
    unary("sinh", "g * np.cosh(x)"),
    unary("cosh", "g * np.sinh(x)"),
    unary("tanh", "g * (1 - ans * ans)"),
    Row("erf", "m.erf(x)", "ans = raw_erf(x)", "dx = g * (1.1283791670955126 * np.exp(-x * x))",
        {"mygrad": None, "autograd": "special.erf(x)"}),
    binary("maximum", larger("x", "y"), larger("y", "x")),
    binary("minimum", larger("y", "x"), larger("x", "y")),
    Row("where", "m.where(c, x, y)", "ans = np.where(c, x, y)", "dx = np.where(c, g, 0.0); dy = np.where(c, 0.0, g)"),
    Row("clip", "m.clip(x, -0.5, 0.5)", "ans = np.clip(x, -0.5, 0.5)",
        "dx = np.where((x >= -0.5) & (x <= 0.5), g, 0.0)"),
    Row("astype", "x.astype('float64')", "ans = x.astype('float64')", "dx = g.astype(x.dtype)",
        {"mygrad": None, "torch": "x.to(m.float64)"}),

    Row("sum", "m.sum(x)", "ans = x.sum(axis=None)", "dx = np.empty((n, n), g.dtype); dx[...] = g"),
    Row("sum of rows", "m.sum(x, axis=1)", "ans = x.sum(axis=1)",
        "dx = np.empty((n, n), g.dtype); dx[...] = g.reshape(n, 1)"),
    Row("mean", "m.mean(x)", "ans = x.sum(axis=None) / x.size", "dx = np.empty((n, n), g.dtype); dx[...] = g / x.size"),
    Row("mean of rows", "m.mean(x, axis=1)", "ans = x.sum(axis=1) / n",
        "dx = np.empty((n, n), g.dtype); dx[...] = (g / n).reshape(n, 1)"),
    Row("max", "m.max(x, axis=1)", "ans = x.max(axis=1)", EXTREMUM, {"torch": "m.amax(x, 1)"}),
    Row("min", "m.min(x, axis=1)", "ans = x.min(axis=1)", EXTREMUM, {"torch": "m.amin(x, 1)"}),
    Row("var", "m.var(x, axis=1)", "d = x - x.sum(axis=1, keepdims=True) / n; ans = (d * d).sum(axis=1) / n",
        "dx = d * (2 * g / n).reshape(n, 1)", {"torch": "m.var(x, 1, correction=0)"}),
    Row("std", "m.std(x, axis=1)", "d = x - x.sum(axis=1, keepdims=True) / n; ans = np.sqrt((d * d).sum(axis=1) / n)",
        "dx = d * (g * (ans != 0) / (ans + (ans == 0)) / n).reshape(n, 1)",
        {"torch": "m.std(x, 1, correction=0)"}),
    Row("norm", "m.norm(x, axis=1)", "ans = np.linalg.norm(x, None, 1)",
        "dx = x * (g * (ans != 0) / (ans + (ans == 0))).reshape(n, 1)",
        {"mygrad": "m.linalg.norm(x, axis=1)", "autograd": "m.linalg.norm(x, axis=1)", "torch": "m.norm(x, dim=1)"}),
    Row("prod", "m.prod(x, axis=1)", "ans = x.prod(axis=1)", "dx = g.reshape(n, 1) * others(x)", {}, 0.95, 1.05),
    Row("cumsum", "m.cumsum(x, 1)", "ans = x.cumsum(axis=1)", "dx = g[:, ::-1].cumsum(axis=1)[:, ::-1]"),
    Row("logsumexp", "m.logsumexp(x, axis=1)",
        "top = x.max(axis=1, keepdims=True); top = np.where(np.isfinite(top), top, 0.0); "
        "ans = (np.log(np.exp(x - top).sum(axis=1, keepdims=True)) + top).squeeze(1)",
        f"{COLUMN}; dx = g_ * np.exp(x - ans_)", {"autograd": "special.logsumexp(x, axis=1)"}),

    Row("reshape", "m.reshape(x, (-1,))", "ans = x.reshape((-1,))", "dx = g.reshape(x.shape)"),
    Row("ravel", "m.ravel(x)", "ans = x.ravel()", "dx = g.reshape(x.shape)"),
    Row("transpose", "m.transpose(x)", "ans = x.transpose()", "dx = g.transpose()", {"torch": "x.T"}),
    Row("swapaxes", "m.swapaxes(x, 0, 1)", "ans = x.swapaxes(0, 1)", "dx = g.swapaxes(0, 1)"),
    Row("squeeze", "m.squeeze(o)", "ans = o.squeeze(None)", "do = g.reshape(o.shape)"),
    Row("expand_dims", "m.expand_dims(x, 0)", "ans = x.reshape(1, n, n)", "dx = g.reshape(x.shape)",
        {"torch": "m.unsqueeze(x, 0)"}),
    Row("broadcast_to", "m.broadcast_to(b, (n, n))", "ans = np.broadcast_to(b, (n, n))",
        "db = g.sum(axis=0)"),
    Row("concatenate", "m.concatenate([x, y])", "ans = np.concatenate([x, y], 0)", "dx = g[:n]; dy = g[n:]"),
    Row("stack", "m.stack([x, y])", "ans = np.stack([x, y], 0)", "dx = g[0]; dy = g[1]"),
    Row("split", "m.split(x, 2)[0]", "ans = [x[: n // 2], x[n // 2 :]][0]",
        "dx = np.zeros((n, n), g.dtype); dx[: n // 2] = g",
        {"mygrad": None, "torch": "m.split(x, n // 2)[0]"}),
    Row("pad", "m.pad(x, 1)", "ans = np.full_like(x, 0, shape=(n + 2, n + 2)); ans[1:-1, 1:-1] = x",
        "dx = g[1:-1, 1:-1]",
        {"mygrad": None, "autograd": "m.pad(x, 1, 'constant')", "torch": "F.pad(x, (1, 1, 1, 1))"}),
    Row("flip", "m.flip(x, 0)", "ans = x[::-1]", "dx = g[::-1]",
        {"autograd": "m.flipud(x)", "torch": "m.flip(x, (0,))"}),
    Row("roll", "m.roll(x, 1, 0)", "ans = np.roll(x, 1, 0)", "dx = np.roll(g, -1, 0)"),
    Row("repeat", "m.repeat(x, 2, axis=0)", "ans = x.repeat(2, 0)", "dx = g.reshape(n, 2, n).sum(axis=1)",
        {"torch": "m.repeat_interleave(x, 2, dim=0)"}),

    Row("getitem, slice", "x[1:]", "ans = x[1:]", "dx = np.zeros((n, n), g.dtype); dx[1:] = g"),
    Row("getitem, indices", "x[i]", "ans = x[i]", "dx = np.zeros((n, n), g.dtype); np.add.at(dx, i, g)"),
    Row("take", "m.take(x, i, axis=0)", "ans = x.take(i, 0)",
        "dx = np.zeros((n, n), g.dtype); np.add.at(dx, (i,), g)",
        {"mygrad": None, "autograd": None, "torch": "m.index_select(x, 0, i)"}),
    Row("take_along_axis", "m.take_along_axis(x, k, 1)", "r = np.arange(n).reshape(n, 1); ans = x[r, k]",
        "dx = np.zeros((n, n), g.dtype); np.add.at(dx, (r, k), g)", {"torch": "m.gather(x, 1, k)"}),
    Row("diagonal", "m.diagonal(x)", "ans = x.diagonal()",
        DIAGONAL),
    Row("trace", "m.trace(x)", "ans = x.trace()", DIAGONAL),

    Row("matmul", "m.matmul(x, y)", "ans = np.matmul(x, y)", "dx = np.matmul(g, y.T); dy = np.matmul(x.T, g)"),
    Row("dot", "m.dot(x, y)", "ans = np.dot(x, y)", "dx = np.matmul(g, y.T); dy = np.matmul(x.T, g)",
        {"torch": "m.mm(x, y)"}),
    Row("outer", "m.outer(a, b)", "a_ = a.reshape(-1, 1); b_ = b.reshape(1, -1); ans = a_ * b_",
        "da = g.dot(b); db = g.T.dot(a)"),
    Row("einsum", "m.einsum('ij,ij->i', x, y)", "ans = np.einsum('ij,ij->i', x, y)",
        "dx = np.einsum('i,ij->ij', g, y); dy = np.einsum('i,ij->ij', g, x)"),
    Row("linear", "m.linear(x, y, b)", "ans = x.dot(y.T); np.add(ans, b, out=ans)",
        "dx = g.dot(y); dy = g.T.dot(x); db = g.T.dot(ones)",
        {"mygrad": "m.matmul(x, y.T) + b", "autograd": "m.dot(x, y.T) + b", "torch": "F.linear(x, y, b)"}),

    Row("relu", "m.relu(x)", "ans = np.maximum(x, 0)", "dx = g * (ans > 0)", {"mygrad": "nnet.relu(x)"}),
    Row("leaky_relu", "m.leaky_relu(x, 0.01)", "ans = np.where(x > 0, x, x * 0.01)",
        "dx = np.where(x > 0, g, g * 0.01)", {"mygrad": "nnet.leaky_relu(x, 0.01)", "torch": "F.leaky_relu(x, 0.01)"}),
    Row("elu", "m.elu(x, 1.0)", "ans = np.where(x > 0, x, 1.0 * np.expm1(np.minimum(x, 0)))",
        "dx = np.where(x > 0, g, g * (1.0 * np.exp(np.where(x < 0, x, 0.0))))",
        {"mygrad": "nnet.elu(x, 1.0)", "torch": "F.elu(x, 1.0)"}),
    Row("sigmoid", "m.sigmoid(x)", f"{SIGMOID}; ans = s", "dx = g * ans * (1 - ans)",
        {"mygrad": "nnet.sigmoid(x)", "autograd": "special.expit(x)"}),
    Row("softplus", "m.softplus(x)", "ans = np.logaddexp(x, 0)", f"{SIGMOID}; dx = g * s",
        {"mygrad": "m.logaddexp(x, 0)", "autograd": "m.logaddexp(x, 0)", "torch": "F.softplus(x)"}),
    Row("silu", "m.silu(x)", f"{SIGMOID}; ans = x * s", f"{SIGMOID}; dx = g * (s * (1 + x * (1 - s)))",
        {"torch": "F.silu(x)"}),
    Row("gelu", "m.gelu(x)", "ans = 0.5 * x * (1 + raw_erf(x * 0.7071067811865476))",
        "dx = g * (0.5 * (1 + raw_erf(x * 0.7071067811865476)) + x * (np.exp(-0.5 * x * x) / 2.5066282746310002))",
        {"torch": "F.gelu(x)"}),
    Row("softmax", "m.softmax(x, -1)", f"{SOFTMAX}; ans = p",
        "dx = (g - (g * ans).sum(axis=-1, keepdims=True)) * ans", {"mygrad": "nnet.softmax(x, -1)"}),
    Row("log_softmax", "m.log_softmax(x, -1)",
        "d = x - x.max(axis=-1, keepdims=True); ans = d - np.log(np.exp(d).sum(axis=-1, keepdims=True))",
        "dx = g - np.exp(ans) * g.sum(axis=-1, keepdims=True)", {"mygrad": "nnet.logsoftmax(x, -1)"}),
    Row("softmax_cross_entropy", "m.softmax_cross_entropy(x, t)",
        f"{SOFTMAX}; hit = np.arange(n), t; ans = -np.log(p[hit]).mean()", "p[hit] -= 1; dx = p * (g / n)",
        {"mygrad": "losses.softmax_crossentropy(x, t)", "torch": "F.cross_entropy(x, t)"}),
    Row("mean_squared_error", "m.mean_squared_error(x, y)", "d = (x - y).reshape(-1); ans = d.dot(d) / d.size",
        "d = d.reshape(n, n); dx = d * (g * (2 / d.size)); dy = d * (g * (-2 / d.size))",
        {"mygrad": "m.mean((x - y) ** 2)", "autograd": "m.mean((x - y) ** 2)", "torch": "F.mse_loss(x, y)"}),
    Row("logistic_loss", "m.logistic_loss(x, y)",
        "ans = np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))", f"{SIGMOID}; dx = g * (s - y); dy = -g * x",
        {"torch": "F.binary_cross_entropy_with_logits(x, y, reduction='none')"}),

    constant("equal", "x, y", torch="m.eq(x, y)"),
    constant("less", "x, y"),
    constant("logical_and", "c, c", mygrad=None),
    constant("isnan", "x"),
    constant("argmax", "x, 1"),
    constant("any", "c, 1", mygrad="m.any(c, 1)"),
    constant("zeros_like", "x"),
]  # fmt: skip


def others(x: np.ndarray) -> np.ndarray:
    """For each element the product of all others along the last axis, of even length at each halving, or 1."""
    n = x.shape[-1]
    if n < 2:
        return np.ones_like(x)
    if n == 2:
        return x[..., ::-1]
    if n % 2:
        return others(np.concatenate([x, np.ones_like(x[..., :1])], axis=-1))[..., :n]
    first, second = x[..., : n // 2], x[..., n // 2 :]
    rest = others(first * second)
    return np.concatenate([rest * second, rest * first], axis=-1)


def drawn(row: Row, n: int, dtype: str) -> dict[str, Any]:
    """The arrays of one row: x, y (n, n), a, b (n,), o (1, n·n), and what takes no gradient."""
    stream = np.random.default_rng(0)
    shapes = {"x": (n, n), "y": (n, n), "a": (n,), "b": (n,), "o": (1, n * n)}
    values: dict[str, Any] = {k: stream.uniform(row.low, row.high, s).astype(dtype) for k, s in shapes.items()}
    return values | {
        "c": stream.random((n, n)) < 0.5,  # a condition
        "i": stream.permutation(n),
        "k": stream.permuted(np.tile(np.arange(n), (n, 1)), axis=1),
        "t": stream.integers(0, n, n),  # labels
    }


class Timed(NamedTuple):
    """What one contestant runs, and what the last run gave: the answer and the gradients of the inputs."""

    forward: Burst
    both: Burst | None
    gave: Callable[[], list[Any]]


def looped(body: str, scope: dict[str, Any]) -> Burst:
    """A burst of such statements; what they set in its last round is left in `scope["last"]`."""
    text = f"def burst(steps):\n for _ in range(steps):\n  {body}\n last.update(locals())\n"
    exec(text, scope)
    burst: Burst = scope["burst"]
    return burst


def inputs_of(row: Row) -> list[str]:
    """The names in a row's call that want gradients."""
    names = compile(row.call, row.name, "eval").co_names
    return [name for name in INPUTS if name in names]


def numpys(row: Row, n: int, values: dict[str, Any], g: Any) -> Timed:
    """Bare NumPy."""
    last: dict[str, Any] = {}
    scope = {"np": np, "n": n, "raw_erf": raw_erf, "others": others, "ones": np.ones(n, g.dtype), "g": g}
    scope |= {"last": last, **values}
    names = ["ans", *(f"d{name}" for name in inputs_of(row))] if row.rules else ["ans"]
    both = looped(f"{row.forward}; {row.rules}", scope) if row.rules else None
    return Timed(looped(row.forward, scope), both, lambda: [last[name] for name in names])


def taped(row: Row, call: str, scope: dict[str, Any], wrap: Callable[..., Any], g: Any, adds: bool = True) -> Timed:
    """A library whose `backward` fills `.grad`, or adds to it; wrap(array, wants a gradient) makes its tensors."""
    inputs = inputs_of(row)
    last: dict[str, Any] = {}
    scope = {k: wrap(v, k in inputs) if isinstance(v, np.ndarray) else v for k, v in scope.items()}
    scope |= {"g": g, "last": last}
    clear = "".join(f"{name}.grad = None; " for name in inputs) if adds else ""
    both = looped(f"{clear}ans = {call}; ans.backward(g)", scope) if row.rules else None

    def gave() -> list[Any]:
        gradients = [scope[name].grad for name in inputs] if row.rules else []
        return [np.asarray(t.detach() if hasattr(t, "detach") else t) for t in (last["ans"], *gradients)]

    return Timed(looped(f"ans = {call}", scope), both, gave)


def minigrads(row: Row, n: int, values: dict[str, Any], g: Any) -> Timed:
    """Ours."""

    def wrap(value: Any, wanted: bool) -> Any:
        return mg.tensor(value, requires_grad=True) if wanted else value

    return taped(row, row.call, {"m": mg, "n": n, **values}, wrap, g)


def mygrads(row: Row, n: int, values: dict[str, Any], g: Any) -> Timed:
    """MyGrad, its guard against writes turned off, as its documentation advises for speed."""
    import mygrad
    from mygrad.nnet import activations, losses

    mygrad.turn_memory_guarding_off()

    def wrap(value: Any, wanted: bool) -> Any:
        return mygrad.tensor(value) if wanted else value

    scope = {"m": mygrad, "nnet": activations, "losses": losses, "n": n, **values}
    return taped(row, row.others.get("mygrad", row.call), scope, wrap, g, adds=False)


def autograds(row: Row, n: int, values: dict[str, Any], g: Any) -> Timed:
    """HIPS autograd: it records only inside its own functions of functions, so `make_vjp` is its forward."""
    import autograd.numpy
    from autograd import make_vjp

    call, inputs = row.others.get("autograd", row.call), inputs_of(row)
    last: dict[str, Any] = {}
    scope = {"m": autograd.numpy, "n": n, "g": g, "last": last, **values}
    if importlib.util.find_spec("scipy"):
        scope["special"] = importlib.import_module("autograd.scipy.special")
    if not row.rules:
        return Timed(looped(f"ans = {call}", scope), None, lambda: [last["ans"]])
    exec(f"def function({', '.join(inputs)}): return {call}", scope)
    scope["of"] = make_vjp(scope["function"], 0 if len(inputs) == 1 else tuple(range(len(inputs))))
    forward = f"vjp, ans = of({', '.join(inputs)})"

    def gave() -> list[Any]:
        d = last["d"]
        return [last["ans"], *(d if isinstance(d, tuple) else (d,))]

    return Timed(looped(forward, scope), looped(f"{forward}; d = vjp(g)", scope), gave)


def torchs(row: Row, n: int, values: dict[str, Any], g: Any) -> Timed:
    """PyTorch, with its default threads."""
    import torch

    def wrap(value: Any, wanted: bool) -> Any:
        return torch.from_numpy(value.copy()).requires_grad_(wanted)

    scope = {"m": torch, "F": torch.nn.functional, "n": n, **values}
    return taped(row, row.others.get("torch", row.call), scope, wrap, torch.as_tensor(g))


CONTESTANTS: dict[str, Callable[..., Timed]] = {
    "minigrad": minigrads,
    "numpy": numpys,
    "mygrad": mygrads,
    "autograd": autograds,
    "torch": torchs,
}
PEERS = ("mygrad", "autograd")
"""Those that, like ours, are Python over NumPy."""


def agree(found: list[Any], expected: list[Any]) -> bool:
    """Whether answers and gradients are the same up to rounding."""
    pairs = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(found, expected, strict=True)]
    return all(a.shape == b.shape and abs(a - b).max() <= TOLERANCE * (1e-3 + abs(b).max()) for a, b in pairs)


def contestants(row: Row, n: int, dtype: str, names: list[str], notes: list[str]) -> tuple[dict[str, Timed], list[str]]:
    """What each of them runs, and which of them borrow the given gradient; a note for those that lack the operation.

    Raises RuntimeError where bare NumPy gives other values than ours: it would be timed doing something else.
    """
    values = drawn(row, n, dtype)
    answer = np.asarray(eval(row.call, {"m": mg, "n": n, **values}))
    g = np.random.default_rng(1).uniform(0.5, 1.5, answer.shape).astype(answer.dtype)
    made: dict[str, Timed] = {}
    borrowed: list[str] = []
    expected: list[Any] = []
    for name in names:
        if row.others.get(name, row.call) is None:
            continue
        try:
            timed = CONTESTANTS[name](row, n, values, g)
            for _ in range(2):  # a gradient that is added up shows in the second round
                (timed.both or timed.forward)(1)
            found = timed.gave()
        except Exception as error:  # an operation that a library lacks may show in many ways
            if name in ("minigrad", "numpy"):
                raise
            notes.append(f"{name} left out of {row.name}: {type(error).__name__}: {str(error).splitlines()[0]}")
            continue
        expected = expected or found
        if agree(found, expected):
            made[name] = timed
            if any(np.may_share_memory(gradient, g) for gradient in found[1:]):
                borrowed.append(name)
        elif name == "numpy":
            raise RuntimeError(f"{row.name}: bare NumPy gives other values than minigrad")
        else:
            notes.append(f"{name} left out of {row.name}: it gives other values")
    return made, borrowed


def measured(
    row: Row, n: int, dtype: str, names: list[str], rounds: int, budget: float, notes: list[str]
) -> dict[str, Any]:
    """The results of one operation at one size."""
    made, borrowed = contestants(row, n, dtype, names, notes)
    bursts = {f"{name} forward": timed.forward for name, timed in made.items()}
    bursts |= {f"{name} both": timed.both for name, timed in made.items() if timed.both}
    times = interleaved(bursts, rounds, budget)
    result: dict[str, Any] = {"operation": row.name, "elements": n * n, "borrowed": borrowed}
    for kind in ("forward", "both"):
        result[kind] = {name: times[f"{name} {kind}"] for name in made if f"{name} {kind}" in times}
    return result


def medians(result: dict[str, Any], kind: str) -> dict[str, float]:
    """Microseconds by contestant; of the forward alone where there is no backward."""
    return {name: entry["median"] for name, entry in (result[kind] or result["forward"]).items()}


def overhead(result: dict[str, Any], kind: str) -> float:
    """Our microseconds above bare NumPy."""
    times = medians(result, kind)
    return times["minigrad"] - times["numpy"]


def behind(result: dict[str, Any], kind: str) -> list[str]:
    """The Python peers that take less time than we do: three quarters of their rounds less than three of ours."""
    times = result[kind] or result["forward"]
    least = times["minigrad"]["quartiles"][0]
    return [name for name in PEERS if name in times and times[name]["quartiles"][1] < least]


def summary(results: list[dict[str, Any]], n: int) -> dict[str, Any]:
    """On how many operations of one size ours has the least overhead, and which take more than TARGET."""
    results = [result for result in results if result["elements"] == n * n]
    contested = [result for result in results if any(name in result["forward"] for name in PEERS)]
    found: dict[str, Any] = {"elements": n * n, "operations": len(results), "that a Python peer has": len(contested)}
    for kind in ("forward", "both"):
        lost = {result["operation"]: behind(result, kind) for result in contested if behind(result, kind)}
        found[f"{kind}: least overhead of the Python peers"] = len(contested) - len(lost)
        found[f"{kind}: a Python peer is faster"] = lost
        if kind == "both":
            borrowed = {result["operation"]: result["borrowed"] for result in contested}
            lent = [name for name, faster in lost.items() if set(faster) <= set(borrowed[name])]
            found["both: all faster Python peers borrow the given gradient"] = lent
        over = {result["operation"]: round(overhead(result, kind), 2) for result in results}
        found[f"{kind}: median µs above bare NumPy"] = round(float(np.median(list(over.values()))), 2)
        most = max(over, key=over.__getitem__)
        found[f"{kind}: most µs above bare NumPy"] = {most: over[most]}
        if kind == "both" and n == SIDES[0]:
            found[f"more than {TARGET:g} µs above bare NumPy"] = {k: v for k, v in over.items() if v > TARGET}
    return found


def rows_of(results: list[dict[str, Any]], names: list[str], n: int) -> list[list[str]]:
    """A table for one size: microseconds forward, and forward with backward; `over` is ours less bare NumPy."""
    shown = [name for name in names if name != "numpy"]
    rows = [[f"{n * n} elements", *shown, "NumPy", "over", *shown, "NumPy", "over"]]
    for result in results:
        if result["elements"] != n * n:
            continue
        row = [result["operation"]]
        for kind in ("forward", "both"):
            times = {name: entry["median"] for name, entry in result[kind].items()}
            cells = [figure(times[name]) if name in times else "-" for name in [*shown, "numpy"]]
            row += [*cells, f"{overhead(result, kind):.2f}" if times else "-"]
        rows.append(row)
    return rows


def main() -> None:
    """Run what the command line asks for."""
    known = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="5 rounds in place of 15")
    parser.add_argument("--operations", nargs="+", choices=known, default=known, metavar="NAME")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="beside ours")
    parser.add_argument("--sides", nargs="+", type=int, default=SIDES, metavar="N", help="of the square arrays")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--out", type=Path, help="where the results go")
    options = parser.parse_args()
    notes: list[str] = []
    names = ["minigrad", "numpy"]
    for name in (name for name in CONTESTANTS if name in options.contestants and name not in names):
        if importlib.util.find_spec(name):
            names.append(name)
        else:
            notes.append(f"{name} left out: not installed")
    rounds, budget = (5, 2.0) if options.quick else (15, 12.0)
    others = Others()
    results = []
    for n in options.sides:
        for row in ROWS:
            if row.name in options.operations:
                results.append(measured(row, n, options.dtype, names, rounds, budget, notes))
        print("\nmicroseconds: forward, then forward with backward")
        print_table(rows_of(results, names, n))
    summaries = [summary(results, n) for n in options.sides]
    for found in summaries:
        print(*(f"{key}: {value}" for key, value in found.items()), sep="\n", end="\n\n")
    settings = {"dtype": options.dtype, "rounds": rounds, "seconds a row at most": budget, "target": TARGET}
    content = report("ops", settings, results, notes, others)
    content["versions"] |= {name: package_version(name) for name in PEERS if name in names}
    write_json("ops", content | {"summary": summaries}, parser, options)


if __name__ == "__main__":
    main()
