"""Prodigy: Adam that finds its own step size."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from optim.elementwise import Binding, ElementwiseOptimizer
from optim.formula import formula, sqrt
from optim.hyperparameters import BETAS, FRACTION, NONNEGATIVE, POSITIVE, flag, optional, within
from optim.optimizer import Options


@formula
def prodigy(
    p, g, m, v, s, p0, travelled, *, lr, beta1, beta2, beta3, eps, weight_decay, decoupled_weight_decay,
    use_bias_correction, safeguard_warmup, maximize, d, t
):  # fmt: skip
    if maximize:
        g = -g
    if use_bias_correction:
        lr = lr * sqrt(1 - beta2**t) / (1 - beta1**t)
    if weight_decay and not decoupled_weight_decay:
        g = g + weight_decay * p
    travelled = g * (p0 - p)
    if weight_decay and decoupled_weight_decay:
        p = p - lr * d * weight_decay * p
    if beta3 is None:
        beta3 = sqrt(beta2)
    if safeguard_warmup:
        s = beta3 * s + (1 - beta3) * (d * d) * g
    else:
        s = beta3 * s + (1 - beta3) * (lr * d * d) * g
    m = beta1 * m + (1 - beta1) * d * g
    v = beta2 * v + (1 - beta2) * d * d * g * g
    p = p - lr * d * m / (sqrt(v) + d * eps)
    return p, m, v, s, travelled


class Prodigy(ElementwiseOptimizer):
    """Prodigy: p ← p - lr·d·m/(√v + d·ε), Adam on d·g, where d grows to an estimate of the distance to the solution.

    m ← β1·m + (1 - β1)·d·g, v ← β2·v + (1 - β2)·d²g², s ← β3·s + (1 - β3)·lr·d²·g, and for all parameters of a group
    together r ← β3·r + (1 - β3)·lr·d²·⟨g, p0 - p⟩ and d ← max(d, d_coef·r/‖s‖₁), which the next step uses.

    Settings:
        lr: factor of the step size found, ≥ 0; where a schedule acts. Default 1.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        beta3: β3 in [0, 1); None is √β2. Default None.
        eps: ε ≥ 0. Default 1e-8.
        weight_decay: λ ≥ 0. Default 0.
        decoupled_weight_decay: as AdamW with the step size lr·d; False adds λp to the gradient. Default True.
        use_bias_correction: scale lr by √(1 - β2ᵗ)/(1 - β1ᵗ). Default False.
        safeguard_warmup: leave lr out of s. Default False.
        d0: the first d, > 0. Default 1e-6.
        d_coef: factor of the estimate, > 0. Default 1.
        growth_rate: how much d may grow in one step, ≥ 1. Default inf.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape:
        step: number of updates.
        exp_avg, exp_avg_sq, s: m, v and s.
        p0: where the parameter started.
    In the group: d, d_max (the largest estimate yet) and d_numerator (r): numbers on the host, so each step waits once
    for a GPU.

    Raises ValueError for settings out of range.

    Source: Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner" (2024), Algorithm 4. Not
    in torch. Every step uses the d from before it; the authors' code puts the new one beside ε.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Prodigy([p], d0=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.270206, -1.262265]
    """

    capturable = False
    formula = prodigy
    state_keys = {"m": "exp_avg", "v": "exp_avg_sq", "s": "s", "p0": "p0"}
    scratch = ("travelled",)
    ranges = {
        "lr": NONNEGATIVE,
        "betas": BETAS,
        "beta3": optional(FRACTION),
        "eps": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "decoupled_weight_decay": flag,
        "use_bias_correction": flag,
        "safeguard_warmup": flag,
        "d0": POSITIVE,
        "d_coef": POSITIVE,
        "growth_rate": within(1.0),
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        beta3: float | None = None,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = True,
        use_bias_correction: bool = False,
        safeguard_warmup: bool = False,
        d0: float = 1e-6,
        d_coef: float = 1.0,
        growth_rate: float = math.inf,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "beta3": beta3,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "use_bias_correction": use_bias_correction,
                "safeguard_warmup": safeguard_warmup,
                "d0": d0,
                "d_coef": d_coef,
                "growth_rate": growth_rate,
                "maximize": maximize,
            },
            **options,
        )

    def initial(self, name: str, group: dict[str, Any], p: Any) -> Any:
        """p0 is where the parameter stands."""
        return p.data if name == "p0" else 0.0

    def validate(self, group: dict[str, Any]) -> None:
        """Check ranges; a group that has no d yet starts from d0."""
        super().validate(group)
        group.update(fresh(group["d0"]) | group)

    def _run(self, work: list[tuple[Any, ...]]) -> None:
        super()._run(work)
        for group in self.param_groups:
            mine = [(binding, t) for _, binding, _, _, t, _, _, owner in work if owner is group]
            if mine:
                self._estimate(group, mine)

    def _estimate(self, group: dict[str, Any], work: list[tuple[Binding, int]]) -> None:
        """The d of the next step, from what the formula left of all parameters of a group."""
        travelled = size = 0.0
        with np.errstate(all="ignore"):
            for binding, _ in work:
                *_, s, _, scratch = binding.flats
                travelled += float(scratch.sum())
                np.absolute(s, out=scratch)
                size += float(scratch.sum())
        group.update(estimate(group, max(t for _, t in work), travelled, size))


def fresh(d0: Any) -> dict[str, Any]:
    """What the parameters of a group share, before the first step."""
    return {"d": d0, "d_max": d0, "d_numerator": 0.0}


def estimate(group: dict[str, Any], t: int, travelled: Any, size: Any) -> dict[str, Any]:
    """What they share after step t, from Σ⟨g, p0 - p⟩ and Σ‖s‖₁ over them: numbers, or Tensors of one element."""
    d, d_max, lr = group["d"], group["d_max"], group["lr"]
    beta1, beta2 = group["betas"]
    if group["use_bias_correction"]:
        lr = lr * sqrt(1 - beta2**t) / (1 - beta1**t)
    beta3 = sqrt(beta2) if group["beta3"] is None else group["beta3"]
    r = beta3 * group["d_numerator"] + (1 - beta3) * lr * d * d * travelled
    if size > 0:
        d_hat = group["d_coef"] * r / size
        if d == group["d0"]:
            d = max(d, d_hat)
        d_max = max(d_max, d_hat)
        d = min(d_max, d * group["growth_rate"])
    return {"d": d, "d_max": d_max, "d_numerator": r}
