"""Stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad import RowSparse
from minigrad.checks import FINITE, NONNEGATIVE, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula
from optim.optimizer import Options


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
    """Stochastic gradient descent, with momentum: p ← p - lr·b, where b ← μ·b + (1 - τ)·g.

    The first b is g itself, and every b where μ = 0. With `nesterov`, p ← p - lr·(g + μ·b): Nesterov's method seen from
    its look-ahead point.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        momentum: μ ≥ 0. Default 0, plain gradient descent.
        dampening: τ, of the gradient in b; any finite number. Default 0.
        weight_decay: λ ≥ 0, added to the gradient as λp (L2). Default 0.
        nesterov: take the look-ahead form; needs momentum > 0 and dampening = 0. Default False.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        momentum_buffer: b; only with momentum.

    Row-sparse gradients move their rows alone where momentum is 0. With momentum all rows have a velocity, so that
    such a gradient is made dense for the step. It can't be decayed.

    Raises TypeError for settings of a wrong type, ValueError for those out of range; in a step RuntimeError for a
    row-sparse gradient with weight_decay.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods" (1964), equation 9; Sutskever et
    al., "On the importance of initialization and momentum in deep learning" (2013), equations 1 to 4. As in torch, and
    unlike there, lr stands outside b, so a change of lr acts on the whole velocity at once.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.46, -0.92]
    """

    formula = sgd
    state_keys = {"b": "momentum_buffer"}
    switched = ("b",)
    ranges = {
        "lr": NONNEGATIVE,
        "momentum": NONNEGATIVE,
        "dampening": FINITE,
        "weight_decay": NONNEGATIVE,
        "nesterov": flag,
        "maximize": flag,
    }

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
        **options: Unpack[Options],
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
            **options,
        )

    def validate(self, group: dict[str, Any]) -> None:
        """Check ranges, and that nesterov has momentum and no dampening."""
        super().validate(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(
                f"SGD: nesterov needs momentum > 0 and dampening = 0, "
                f"got momentum {group['momentum']} and dampening {group['dampening']}"
            )

    def row_sparse(self, g: RowSparse, group: dict[str, Any]) -> Any:
        """As it is, or dense with momentum, by which rows without a gradient move too."""
        if group["weight_decay"]:
            raise RuntimeError(
                f"SGD.step: a row-sparse gradient for a parameter of shape {g.shape} with weight_decay "
                f"{group['weight_decay']}; decay would move all rows, so it must be 0"
            )
        return g.to_dense().data if group["momentum"] else g
