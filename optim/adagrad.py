"""Adagrad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from minigrad import RowSparse
from minigrad.checks import NONNEGATIVE, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, sqrt
from optim.optimizer import Options


@formula
def adagrad(p, g, s, *, lr, lr_decay, weight_decay, eps, maximize, t):
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    s = s + g * g
    p = p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)
    return p, s


class Adagrad(ElementwiseOptimizer):
    """Adagrad: p ← p - lrₜ·g/(√s + ε), where s ← s + g² and lrₜ = lr/(1 + (t - 1)·lr_decay).

    Settings:
        lr: step size, ≥ 0. Default 1e-2.
        lr_decay: ≥ 0. Default 0.
        weight_decay: λ ≥ 0, added to the gradient as λp (L2). Default 0.
        initial_accumulator_value: what s starts from, ≥ 0; in a group, for its parameters. Default 0.
        eps: ε ≥ 0. Default 1e-10.
        maximize: climb instead of descend. Default False.

    State, of each parameter, from construction; arrays of its shape and dtype:
        step: number of updates.
        sum: s.

    Row-sparse gradients move their rows alone, which is all that they would move as dense ones. They can't be decayed.

    Raises TypeError for settings of a wrong type, ValueError for those out of range; in a step RuntimeError for a
    row-sparse gradient with weight_decay.

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization"
    (2011), section 1.1 with the diagonal of G; ε and lr_decay are torch's. As in torch, which ignores, however, a
    group's own initial_accumulator_value and takes the constructor's for all.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Adagrad([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.833104, -1.831125]
    """

    formula = adagrad
    state_keys = {"s": "sum"}
    ranges = {
        "lr": NONNEGATIVE,
        "lr_decay": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "initial_accumulator_value": NONNEGATIVE,
        "eps": NONNEGATIVE,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "maximize": maximize,
            },
            **options,
        )
        for group in self.param_groups:
            self._start(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with settings of their own; their state exists at once."""
        super().add_param_group(param_group)
        self._start(self.param_groups[-1])

    def _start(self, group: dict[str, Any]) -> None:
        for p in group["params"]:
            self.state[p] = {"step": 0, "sum": self._started("s", group, p)}

    def row_sparse(self, g: RowSparse, group: dict[str, Any]) -> RowSparse:
        """As it is."""
        if group["weight_decay"]:
            raise RuntimeError(
                f"Adagrad.step: a row-sparse gradient for a parameter of shape {g.shape} with weight_decay "
                f"{group['weight_decay']}; decay would move all rows, so it must be 0"
            )
        return g

    def initial(self, name: str, group: dict[str, Any], p: Any) -> float:
        """s starts from `initial_accumulator_value`."""
        value: float = group["initial_accumulator_value"]
        return value
