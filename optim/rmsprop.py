"""RMSprop, also centered and with momentum."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import NONNEGATIVE, UNIT, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, sqrt
from optim.optimizer import Options


@formula
def rmsprop(p, g, v, g_avg, b, *, lr, alpha, eps, weight_decay, momentum, centered, maximize, t):
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    v = alpha * v + (1 - alpha) * g * g
    if centered:
        g_avg = alpha * g_avg + (1 - alpha) * g
        d = g / (sqrt(v - g_avg * g_avg) + eps)
    else:
        d = g / (sqrt(v) + eps)
    if momentum:
        b = momentum * b + d
        p = p - lr * b
    else:
        p = p - lr * d
    return p, v, g_avg, b


class RMSprop(ElementwiseOptimizer):
    """RMSprop: p ← p - lr·g/(√v + ε), where v ← α·v + (1 - α)·g².

    Centered, v - ḡ² takes the place of v, with ḡ the running mean of g: an estimate of the variance, which is not
    clamped and can come out below 0, hence NaN, by rounding. With momentum, p ← p - lr·b, where b ← μ·b + g/(√v + ε).

    Settings:
        lr: step size, ≥ 0. Default 1e-2.
        alpha: α in [0, 1]; with 1 v stays 0. Default 0.99.
        eps: ε ≥ 0. Default 1e-8.
        weight_decay: λ ≥ 0, added to the gradient as λp (L2). Default 0.
        momentum: μ ≥ 0. Default 0.
        centered: divide by the estimated standard deviation. Default False.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        square_avg: v.
        grad_avg: ḡ; only centered.
        momentum_buffer: b, which lr is not part of; only with momentum.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Tieleman and Hinton, "Lecture 6.5 - RMSProp", COURSERA: Neural Networks for Machine Learning (2012);
    centered: Graves, "Generating Sequences With Recurrent Neural Networks" (2013), equations 38 to 41, where ε stands
    inside the root. As in torch, where it stands outside, as here.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.RMSprop([p], lr=0.01)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.832918, -1.830943]
    """

    formula = rmsprop
    state_keys = {"v": "square_avg", "g_avg": "grad_avg", "b": "momentum_buffer"}
    switched = ("g_avg", "b")
    ranges = {
        "lr": NONNEGATIVE,
        "alpha": UNIT,
        "eps": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "momentum": NONNEGATIVE,
        "centered": flag,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "maximize": maximize,
            },
            **options,
        )
