"""Adam, with AMSGrad and decoupled weight decay."""

from __future__ import annotations

from typing import Any

from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, maximum, sqrt
from optim.hyperparameters import BETAS, NONNEGATIVE


@formula
def adam(p, g, m, v, v_max, *, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay, t):
    if maximize:
        g = -g
    if weight_decay and decoupled_weight_decay:
        p = (1 - lr * weight_decay) * p
    elif weight_decay:
        g = g + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    if amsgrad:
        v_max = maximum(v_max, v)
        v_t = v_max
    else:
        v_t = v
    m_hat = 1 / (1 - beta1**t) * m
    v_hat = 1 / (1 - beta2**t) * v_t
    p = p - lr * m_hat / (sqrt(v_hat) + eps)
    return p, m, v, v_max


class Adam(ElementwiseOptimizer):
    formula = adam
    state_keys = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}
    ranges = {"lr": NONNEGATIVE, "betas": BETAS, "eps": NONNEGATIVE, "weight_decay": NONNEGATIVE}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )
