"""RAdam: Adam whose adaptive rate waits until its variance is known."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import BETAS, NONNEGATIVE, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, lerp, sqrt
from optim.optimizer import Options


@formula
def radam(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, decoupled_weight_decay, maximize, t):
    if maximize:
        g = -g
    if weight_decay and decoupled_weight_decay:
        p = (1 - lr * weight_decay) * p
    elif weight_decay:
        g = g + weight_decay * p
    m = lerp(m, g, 1 - beta1)
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = 1 / (1 - beta1**t) * m
    rho_inf = 2 / (1 - beta2) - 1
    rho_t = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    if rho_t > 5:
        r_t = sqrt((rho_t - 4) * (rho_t - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho_t))
        p = p - lr * r_t * sqrt(1 - beta2**t) * m_hat / (sqrt(v) + eps)
    else:
        p = p - lr * m_hat
    return p, m, v


class RAdam(ElementwiseOptimizer):
    """RAdam: p ← p - lr·rₜ·m̂/√v̂ once ρₜ > 5, and p ← p - lr·m̂, without adaptation, before.

    ρ∞ = 2/(1 - β2) - 1, ρₜ = ρ∞ - 2t·β2ᵗ/(1 - β2ᵗ), rₜ = √((ρₜ-4)(ρₜ-2)ρ∞ / ((ρ∞-4)(ρ∞-2)ρₜ)); m and v are Adam's, and
    √v̂ is (√v + ε)/√(1 - β2ᵗ).

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε ≥ 0, added to the uncorrected √v. Default 1e-8.
        weight_decay: λ ≥ 0, added to the gradient as λp (L2). Default 0.
        decoupled_weight_decay: multiply p by 1 - lr·λ instead. Default False.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        exp_avg, exp_avg_sq: m and v.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond" (2020), Algorithm 2, which asks for
    ρₜ > 4 and has no ε. As in torch. m = β1·m + (1 - β1)·g is computed as torch does, m + (1 - β1)(g - m) where β1 > ½
    and g - β1(g - m) elsewhere: an infinite gradient makes it NaN in both at the same step.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.RAdam([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.621053, -1.242105]
    """

    formula = radam
    state_keys = {"m": "exp_avg", "v": "exp_avg_sq"}
    ranges = {
        "lr": NONNEGATIVE,
        "betas": BETAS,
        "eps": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "decoupled_weight_decay": flag,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
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
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
            **options,
        )
