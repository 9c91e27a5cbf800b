"""Yogi: Adam whose second moment changes by steps of bounded size."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import BETAS, NONNEGATIVE, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, sign, sqrt
from optim.optimizer import Options


@formula
def yogi(p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, bias_correction, maximize, t):
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = v - (1 - beta2) * sign(v - g * g) * (g * g)
    if bias_correction:
        m_hat = 1 / (1 - beta1**t) * m
        v_hat = 1 / (1 - beta2**t) * v
        p = p - lr * m_hat / (sqrt(v_hat) + eps)
    else:
        p = p - lr * m / (sqrt(v) + eps)
    return p, m, v


class Yogi(ElementwiseOptimizer):
    """Yogi: p ← p - lr·m/(√v + ε), where v ← v - (1 - β2)·sign(v - g²)·g² and m is Adam's.

    v rises as fast as Adam's and falls slowly, so the effective step size does not jump after a rare large gradient.

    Settings:
        lr: step size, ≥ 0. Default 1e-2.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε ≥ 0. Default 1e-3.
        initial_accumulator_value: what v starts from, ≥ 0. Default 1e-6.
        weight_decay: λ ≥ 0, added to the gradient as λp (L2). Default 0.
        bias_correction: divide m by 1 - β1ᵗ and v by 1 - β2ᵗ, as optax does. Default False, as in the paper.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        exp_avg, exp_avg_sq: m and v.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Zaheer et al., "Adaptive Methods for Nonconvex Optimization" (2018), Algorithm 2 and section 4. Not in
    torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Yogi([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.280324, -1.267376]
    """

    formula = yogi
    state_keys = {"m": "exp_avg", "v": "exp_avg_sq"}
    ranges = {
        "lr": NONNEGATIVE,
        "betas": BETAS,
        "eps": NONNEGATIVE,
        "initial_accumulator_value": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "bias_correction": flag,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-3,
        initial_accumulator_value: float = 1e-6,
        weight_decay: float = 0.0,
        bias_correction: bool = False,
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
                "initial_accumulator_value": initial_accumulator_value,
                "weight_decay": weight_decay,
                "bias_correction": bias_correction,
                "maximize": maximize,
            },
            **options,
        )

    def initial(self, name: str, group: dict[str, Any], p: Any) -> float:
        """v starts from `initial_accumulator_value`."""
        value: float = group["initial_accumulator_value"]
        return value if name == "v" else 0.0
