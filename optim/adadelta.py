"""Adadelta."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import NONNEGATIVE, UNIT, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, sqrt
from optim.optimizer import Options


@formula
def adadelta(p, g, v, u, *, lr, rho, eps, weight_decay, maximize, t):
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    v = rho * v + (1 - rho) * g * g
    delta = sqrt(u + eps) / sqrt(v + eps) * g
    u = rho * u + (1 - rho) * delta * delta
    p = p - lr * delta
    return p, v, u


class Adadelta(ElementwiseOptimizer):
    """Adadelta: p ← p - lr·Δ, where Δ = √(u + ε)/√(v + ε)·g, from running means v of g² and u of Δ².

    v ← ρ·v + (1 - ρ)·g² comes before Δ, u ← ρ·u + (1 - ρ)·Δ² after it.

    Settings:
        lr: scale of the step, ≥ 0. Default 1, the paper's.
        rho: ρ in [0, 1], of both means. Default 0.9.
        eps: ε ≥ 0, inside both roots. Default 1e-6.
        weight_decay: λ ≥ 0, added to the gradient as λp (L2). Default 0.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        square_avg, acc_delta: v and u.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (2012), Algorithm 1. As in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Adadelta([p], lr=1.0)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.993598, -1.993596]
    """

    formula = adadelta
    state_keys = {"v": "square_avg", "u": "acc_delta"}
    ranges = {"lr": NONNEGATIVE, "rho": UNIT, "eps": NONNEGATIVE, "weight_decay": NONNEGATIVE, "maximize": flag}

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
            **options,
        )
