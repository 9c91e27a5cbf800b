"""Adamax: Adam with the infinity norm."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import BETAS, NONNEGATIVE, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import absolute, formula, maximum
from optim.optimizer import Options


@formula
def adamax(p, g, m, u, *, lr, beta1, beta2, eps, weight_decay, maximize, t):
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u, absolute(g) + eps)
    p = p - lr / (1 - beta1**t) * m / u
    return p, m, u


class Adamax(ElementwiseOptimizer):
    """Adamax: p ← p - lr/(1 - β1ᵗ)·m/u, where u ← max(β2·u, |g| + ε) takes the place of Adam's √v.

    m ← β1·m + (1 - β1)·g, and u needs no bias correction.

    Settings:
        lr: step size, ≥ 0. Default 2e-3.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε ≥ 0. Default 1e-8.
        weight_decay: λ ≥ 0, added to the gradient as λp (L2). Default 0.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        exp_avg, exp_inf: m and u.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), Algorithm 2, which has no ε. As in
    torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Adamax([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.805168, -1.802534]
    """

    formula = adamax
    state_keys = {"m": "exp_avg", "u": "exp_inf"}
    ranges = {"lr": NONNEGATIVE, "betas": BETAS, "eps": NONNEGATIVE, "weight_decay": NONNEGATIVE, "maximize": flag}

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
            **options,
        )
