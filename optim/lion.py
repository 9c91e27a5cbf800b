"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import BETAS, NONNEGATIVE, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, sign
from optim.optimizer import Options


@formula
def lion(p, g, m, *, lr, beta1, beta2, weight_decay, maximize):
    if maximize:
        g = -g
    c = beta1 * m + (1 - beta1) * g
    if weight_decay:
        p = p - lr * (sign(c) + weight_decay * p)
    else:
        p = p - lr * sign(c)
    m = beta2 * m + (1 - beta2) * g
    return p, m


class Lion(ElementwiseOptimizer):
    """Lion: p ← p - lr·(sign(c) + λp), where c = β1·m + (1 - β1)·g, and then m ← β2·m + (1 - β2)·g.

    Every element moves by lr, so lr is to be three to ten times smaller than Adam's, and λ as much larger.

    Settings:
        lr: step size, ≥ 0. Default 1e-4.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.99).
        weight_decay: λ ≥ 0, decoupled. Default 0.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        exp_avg: m.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms" (2023), Algorithm 2. Not in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Lion([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.8, -1.8]
    """

    formula = lion
    state_keys = {"m": "exp_avg"}
    ranges = {"lr": NONNEGATIVE, "betas": BETAS, "weight_decay": NONNEGATIVE, "maximize": flag}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
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
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
            **options,
        )
