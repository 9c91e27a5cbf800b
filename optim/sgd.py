"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula
from optim.hyperparameters import FINITE, NONNEGATIVE


@formula
def sgd(p, g, b, *, lr, momentum, dampening, weight_decay, nesterov, maximize, first):
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    if momentum:
        if first:
            b = g
        else:
            b = momentum * b + (1 - dampening) * g
        if nesterov:
            d = g + momentum * b
        else:
            d = b
    else:
        d = g
    p = p - lr * d
    return p, b


class SGD(ElementwiseOptimizer):
    formula = sgd
    state_keys = {"b": "momentum_buffer"}
    ranges = {"lr": NONNEGATIVE, "momentum": NONNEGATIVE, "dampening": FINITE, "weight_decay": NONNEGATIVE}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )
