"""ASGD: gradient descent that averages its path."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import FINITE, NONNEGATIVE, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula
from optim.optimizer import Options


@formula
def asgd(p, g, ax, *, lr, lambd, alpha, t0, weight_decay, maximize, eta, mu, t):
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    p = (1 - lambd * eta) * p - eta * g
    if mu == 1:
        ax = p
    else:
        ax = ax + mu * (p - ax)
    eta = lr / (1 + lambd * lr * t) ** alpha
    mu = 1 / max(1, t - t0)
    return p, ax, eta, mu


class ASGD(ElementwiseOptimizer):
    """ASGD: p ← (1 - λη)·p - η·g, and beside it the average of the path: ax ← ax + μ·(p - ax).

    η and μ are refreshed after each step, η ← lr/(1 + λ·lr·t)^α and μ ← 1/max(1, t - t0): a new lr acts one step late,
    and ax is p itself until t0 + 2 steps are taken. It is ax that one evaluates with:

        with optim.swa_utils.swapped(params, [optimizer.state.get(p, {}).get("ax", p) for p in params]):
            ...

    Settings:
        lr: step size at the start, ≥ 0. Default 1e-2.
        lambd: λ ≥ 0, a decay of its own. Default 1e-4.
        alpha: α, how fast η falls; any finite number. Default 0.75.
        t0: the step after which averaging starts; any finite number. Default 1e6.
        weight_decay: ≥ 0, added to the gradient (L2). Default 0.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        eta, mu: η and μ of the next step, numbers; exact, where torch rounds them to float32.
        ax: the average.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992), section 2; the schedule
    is Bottou's, "Stochastic Gradient Descent Tricks" (2012), section 5.3. As in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.ASGD([p], lr=0.1, t0=0)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.639985, -1.27997]
    """

    formula = asgd
    state_keys = {"ax": "ax"}
    numbers = ("eta", "mu")
    ranges = {
        "lr": NONNEGATIVE,
        "lambd": NONNEGATIVE,
        "alpha": FINITE,
        "t0": FINITE,
        "weight_decay": NONNEGATIVE,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lambd": lambd,
                "alpha": alpha,
                "t0": t0,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
            **options,
        )

    def numbers_before(self, group: dict[str, Any], t: int) -> dict[str, float]:
        """What the step before has left in μ."""
        return {"mu": 1 / max(1, t - 1 - group["t0"])}

    def initial(self, name: str, group: dict[str, Any], p: Any) -> float:
        """η starts as lr, μ as 1."""
        start: float = {"eta": group["lr"], "mu": 1.0}.get(name, 0.0)
        return start
