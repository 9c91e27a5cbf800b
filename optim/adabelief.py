"""AdaBelief: steps by the belief in the observed gradient."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import BETAS, NONNEGATIVE, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, maximum, sqrt
from optim.optimizer import Options


@formula
def adabelief(p, g, m, s, s_max, *, lr, beta1, beta2, eps, weight_decay, amsgrad, decoupled_weight_decay, maximize, t):
    if maximize:
        g = -g
    if weight_decay and decoupled_weight_decay:
        p = (1 - lr * weight_decay) * p
    elif weight_decay:
        g = g + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    surprise = g - m
    s = beta2 * s + (1 - beta2) * surprise * surprise + eps
    m_hat = 1 / (1 - beta1**t) * m
    if amsgrad:
        s_max = maximum(s_max, s)
        s_hat = 1 / (1 - beta2**t) * s_max
    else:
        s_hat = 1 / (1 - beta2**t) * s
    p = p - lr * m_hat / (sqrt(s_hat) + eps)
    return p, m, s, s_max


class AdaBelief(ElementwiseOptimizer):
    """AdaBelief: Adam with s ← β2·s + (1 - β2)·(g - m)² + ε in the place of v: large steps where g is as m foretold.

    p ← p - lr·m̂/(√ŝ + ε); m, m̂ and the correction of s are Adam's. ε is added at every step and stays in s.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε ≥ 0. Default 1e-16.
        weight_decay: λ ≥ 0; p is multiplied by 1 - lr·λ. Default 0.
        amsgrad: never let the denominator shrink. Default False.
        decoupled_weight_decay: False adds λp to the gradient instead (L2). Default True.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        exp_avg, exp_avg_var: m and s.
        max_exp_avg_var: the largest s so far; only with amsgrad.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients" (2020),
    Algorithm 2. Not in torch. The rectification of the authors' package is not part of the algorithm.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.AdaBelief([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.772729, -1.772339]
    """

    formula = adabelief
    state_keys = {"m": "exp_avg", "s": "exp_avg_var", "s_max": "max_exp_avg_var"}
    switched = ("s_max",)
    ranges = {
        "lr": NONNEGATIVE,
        "betas": BETAS,
        "eps": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "amsgrad": flag,
        "decoupled_weight_decay": flag,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        decoupled_weight_decay: bool = True,
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
                "amsgrad": amsgrad,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
            **options,
        )
