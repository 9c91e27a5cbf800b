"""Adan: Nesterov's momentum, estimated from differences of gradients."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import FRACTION, NONNEGATIVE, flag, tuple_of
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, sqrt
from optim.optimizer import Options


@formula
def adan(p, g, m, v, n, g_prev, *, lr, beta1, beta2, beta3, eps, weight_decay, no_prox, maximize, first, t):
    if maximize:
        g = -g
    if first:
        g_prev = g
    difference = g - g_prev
    ahead = g + beta2 * difference
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * difference
    n = beta3 * n + (1 - beta3) * ahead * ahead
    m_hat = 1 / (1 - beta1**t) * m
    v_hat = 1 / (1 - beta2**t) * v
    n_hat = 1 / (1 - beta3**t) * n
    if no_prox:
        p = (1 - lr * weight_decay) * p - lr * (m_hat + beta2 * v_hat) / (sqrt(n_hat) + eps)
    else:
        p = p - lr * (m_hat + beta2 * v_hat) / (sqrt(n_hat) + eps)
        if weight_decay:
            p = p / (1 + lr * weight_decay)
    g_prev = g
    return p, m, v, n, g_prev


class Adan(ElementwiseOptimizer):
    """Adan: p ← (p - lr·(m̂ + β2·v̂)/(√n̂ + ε))/(1 + lr·λ), from means of g, of its differences Δ, and of (g + β2·Δ)².

    m ← β1·m + (1 - β1)·g, v ← β2·v + (1 - β2)·Δ, n ← β3·n + (1 - β3)·(g + β2·Δ)², with Δ = g - the last g (0 at first),
    and bias corrections as Adam's.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        betas: (β1, β2, β3), each in [0, 1): what is kept, where the paper's are what is replaced. Default (0.98, 0.92,
            0.99).
        eps: ε ≥ 0. Default 1e-8.
        weight_decay: λ ≥ 0, decoupled. Default 0.
        no_prox: decay by 1 - lr·λ before the step, instead of the proximal division after it. Default False.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        exp_avg, exp_avg_diff, exp_avg_sq: m, v and n.
        prev_grad: the last g.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models" (2022), Algorithm
    1 without restart; the buffers start at 0 with bias correction, as in the authors' code. Not in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Adan([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.800773, -1.800229]
    """

    formula = adan
    state_keys = {"m": "exp_avg", "v": "exp_avg_diff", "n": "exp_avg_sq", "g_prev": "prev_grad"}
    ranges = {
        "lr": NONNEGATIVE,
        "betas": tuple_of(FRACTION, FRACTION, FRACTION),
        "eps": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "no_prox": flag,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        no_prox: bool = False,
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
                "no_prox": no_prox,
                "maximize": maximize,
            },
            **options,
        )
