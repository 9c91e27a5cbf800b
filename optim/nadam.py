"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import BETAS, NONNEGATIVE, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, sqrt
from optim.optimizer import Options


@formula
def nadam(
    p, g, m, v, *, lr, beta1, beta2, eps, weight_decay, momentum_decay, decoupled_weight_decay, maximize, mu_product, t
):
    if maximize:
        g = -g
    if weight_decay and decoupled_weight_decay:
        p = (1 - lr * weight_decay) * p
    elif weight_decay:
        g = g + weight_decay * p
    mu = beta1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
    mu_product = mu_product * mu
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = mu_next / (1 - mu_product * mu_next) * m + (1 - mu) / (1 - mu_product) * g
    v_hat = 1 / (1 - beta2**t) * v
    p = p - lr * m_hat / (sqrt(v_hat) + eps)
    return p, m, v, mu_product


class NAdam(ElementwiseOptimizer):
    """NAdam: p ← p - lr·m̂/(√v̂ + ε), where m̂ = μₜ₊₁·m/(1 - Πμᵢ·μₜ₊₁) + (1 - μₜ)·g/(1 - Πμᵢ) looks one step ahead.

    μₜ = β1·(1 - ½·0.96^(tψ)) warms up to β1, and Πμᵢ runs to t. m, v and v̂ are Adam's.

    Settings:
        lr: step size, ≥ 0. Default 2e-3.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε ≥ 0. Default 1e-8.
        weight_decay: λ ≥ 0, added to the gradient as λp (L2). Default 0.
        momentum_decay: ψ ≥ 0, how fast μ warms up. Default 4e-3.
        decoupled_weight_decay: multiply p by 1 - lr·λ instead. Default False.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        mu_product: Πμᵢ, a number.
        exp_avg, exp_avg_sq: m and v.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Dozat, "Incorporating Nesterov Momentum into Adam" (2016), Algorithm 2 with the schedule of μ. As in torch:
    m is a mean with β1, and μₜ stands in the last combination only, where the paper has it in both.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.NAdam([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.819973, -1.817898]
    """

    formula = nadam
    state_keys = {"m": "exp_avg", "v": "exp_avg_sq"}
    numbers = ("mu_product",)
    ranges = {
        "lr": NONNEGATIVE,
        "betas": BETAS,
        "eps": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "momentum_decay": NONNEGATIVE,
        "decoupled_weight_decay": flag,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
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
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
            **options,
        )

    def initial(self, name: str, group: dict[str, Any], p: Any) -> float:
        """The empty product is 1."""
        return 1.0 if name == "mu_product" else 0.0
