"""A check of derivatives against differences, for any function of tensors and to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.autograd import _gradients
from minigrad.checks import NONNEGATIVE, POSITIVE, from_one, function
from minigrad.tape import Variable, described


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    order: int = 2,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-4,
    raise_exception: bool = True,
) -> bool:
    """Whether the derivatives of f agree with central differences; to second order unless said otherwise.

    For random v, the gradient of s = ⟨v, f(x)⟩ by each input is compared along a random direction d with
    (s(x + eps d) - s(x - eps d)) / 2 eps; it must have the input's shape and type, and be where that is. Then the same
    is asked of (x, v) ↦ ∇s, and so on up to `order`. What will be differentiated again is asked of both backwards, the
    ordinary one and that with `create_graph`, as rules may compute them in different ways. Only where a direction
    disagrees are single elements looked at, so the cost hardly depends on the inputs' sizes. The random numbers are the
    same in every call.

    f: a function of tensors that returns a tensor or several; it must give the same answer each time, and be smooth
        within eps of the inputs. An input that it does not use has a gradient of 0.
    inputs: a tensor or several, float64, that require gradients.
    order: a whole number from 1. Default 2.
    eps: the step, > 0. Default 1e-6.
    atol, rtol: how far the two may lie apart, absolutely and relative to the difference, ≥ 0. Default 1e-5 and 1e-4.
    raise_exception: raise ValueError where they disagree, with the input, index and both values; else return False.

    Raises TypeError for inputs that are not float64 tensors, ValueError for those that do not require gradients and for
    numbers out of range.

    >>> import minigrad as mg
    >>> x = mg.tensor([0.5, 2.0], dtype="float64", requires_grad=True)
    >>> mg.gradcheck(lambda x: mg.log(x) * x, x)
    True
    """
    xs = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    for i, x in enumerate(xs):
        if not isinstance(x, Variable) or x.data.dtype != np.float64:
            got = x.data.dtype if isinstance(x, Variable) else type(x).__name__
            raise TypeError(f"gradcheck: input {i}: expected a float64 Tensor, got {got}")
        if not x._requires_grad:
            raise ValueError(f"gradcheck: input {i} does not require a gradient")
    function("gradcheck: f", f)
    order, eps = from_one("gradcheck: order", order), POSITIVE("gradcheck: eps", eps)
    atol, rtol = NONNEGATIVE("gradcheck: atol", atol), NONNEGATIVE("gradcheck: rtol", rtol)
    rng = np.random.default_rng(0)
    names = [f"input {i}" for i in range(len(xs))]
    for k in range(1, order + 1):
        problem = _disagreement(f, xs, names, rng, eps, atol, rtol, recorded=k < order)
        if problem:
            if raise_exception:
                raise ValueError(f"gradcheck: derivative of order {k} by {problem}")
            return False
        if k < order:
            f, xs, names = _derivative(f, xs, names, rng, k)
    return True


def _outputs(f: Callable[..., Any], xs: Sequence[Any]) -> list[Any]:
    """The floating-point tensors among f's answers."""
    answer = f(*xs)
    outs = list(answer) if isinstance(answer, list | tuple) else [answer]
    floating = [out for out in outs if isinstance(out, Variable) and out.data.dtype.kind == "f"]
    if not floating:
        raise TypeError("gradcheck: f returned no floating-point Tensor")
    return floating


def _random(rng: np.random.Generator, like: Any) -> Any:
    """A standard normal array of the shape of `like`, where that is."""
    return backend.to_device(rng.standard_normal(like.shape), backend.device_of(like))


def _derivative(
    f: Callable[..., Any], xs: list[Any], names: list[str], rng: np.random.Generator, k: int
) -> tuple[Callable[..., Any], list[Any], list[str]]:
    """(x, v) ↦ the gradients of ⟨v, f(x)⟩ by each x, with a random v."""
    vs = [Variable.Answer(_random(rng, out.data), None, True) for out in _outputs(f, xs)]
    n = len(xs)

    def derivative(*arguments: Any) -> list[Any]:
        return _gradients(_outputs(f, arguments[:n]), arguments[:n], arguments[n:], True)

    return derivative, xs + vs, names + [f"the gradient of output {j} (order {k})" for j in range(len(vs))]


def _disagreement(
    f: Callable[..., Any],
    xs: list[Any],
    names: list[str],
    rng: np.random.Generator,
    eps: float,
    atol: float,
    rtol: float,
    recorded: bool,
) -> str | None:
    """What to say of the first input whose gradient differs from the difference; None where all agree."""
    outs = _outputs(f, xs)
    vs = [_random(rng, out.data) for out in outs]
    seeds = [Variable.Answer(v) for v in vs]
    found = {" with create_graph": _gradients(outs, xs, seeds, True)} if recorded else {}
    found[""] = _gradients(outs, xs, seeds, False)

    def moved(i: int, step: Any) -> float:
        arguments = [Variable.Answer(x.data + step if x is xs[i] else x.data, None, True) for x in xs]
        return sum(float((v * out.data).sum()) for v, out in zip(vs, _outputs(f, arguments), strict=True))

    def slope(i: int, direction: Any) -> float:
        return (moved(i, eps * direction) - moved(i, -eps * direction)) / (2 * eps)

    for i, x in enumerate(xs):
        direction = _random(rng, x.data)
        numeric = slope(i, direction)
        for how, gradients in reversed(found.items()):
            g = gradients[i].data
            if (g.shape, g.dtype, backend.device_of(g)) != (x.shape, x.dtype, x.device):
                return f"{names[i]}{how}: {described(g)} for an input of {described(x)}"
            if not abs(float((g * direction).sum()) - numeric) <= atol + rtol * abs(numeric):  # a NaN disagrees
                return f"{names[i]}{how}{_worst(x.data, g, partial(slope, i))}"
    return None


def _worst(x: Any, g: Any, slope: Callable[[Any], float]) -> str:
    """The element for which gradient and difference lie furthest apart."""
    worst, text = -1.0, ""
    for index in np.ndindex(x.shape):
        unit = np.zeros_like(x)
        unit[index] = 1
        analytic, numeric = float(g[index]), slope(unit)
        gap = abs(analytic - numeric)
        if not gap <= worst:
            worst, text = gap, f", index {index}: analytic {analytic:.9g}, numeric {numeric:.9g}"
    return text
