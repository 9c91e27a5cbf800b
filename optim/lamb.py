"""LAMB: Adam with a learning rate for every layer."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from minigrad.checks import BETAS, NONNEGATIVE, flag
from minigrad.many import norms
from optim.elementwise import Binding, ElementwiseOptimizer
from optim.formula import Formula, Scalar, Stages, formula, sqrt
from optim.lars import norm, ratio
from optim.optimizer import Options


@formula
def lamb_direction(p, g, m, v, u, *, beta1, beta2, eps, weight_decay, maximize, t):
    if maximize:
        g = -g
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = 1 / (1 - beta1**t) * m
    v_hat = 1 / (1 - beta2**t) * v
    u = m_hat / (sqrt(v_hat) + eps)
    if weight_decay:
        u = u + weight_decay * p
    return m, v, u


@formula
def lamb(p, u, kappa: Scalar, *, lr):
    p = p - lr * kappa * u
    return p


class LAMB(ElementwiseOptimizer):
    """LAMB: p ← p - lr·(‖p‖/‖u‖)·u, where u = m̂/(√v̂ + ε) + λp is AdamW's direction, for each parameter as a whole.

    The ratio is 1 where either norm is 0.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε ≥ 0. Default 1e-6.
        weight_decay: λ ≥ 0. Default 0.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        exp_avg, exp_avg_sq: m and v.

    Norms are taken in the parameter's type: in float32 they are infinite beyond 1e19, and 0 where all is below 1e-23.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes" (2020), Algorithm 2
    with φ(z) = z. Not in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.LAMB([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.699055, -1.698316]
    """

    formula = Stages(("m", "v", "u"), lamb_direction, lamb)
    state_keys = {"m": "exp_avg", "v": "exp_avg_sq"}
    scratch = ("u",)
    reduces = True
    between_latex = r"\kappa = \frac{\|\theta\|}{\|u\|}"
    ranges = {"lr": NONNEGATIVE, "betas": BETAS, "eps": NONNEGATIVE, "weight_decay": NONNEGATIVE, "maximize": flag}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize},
            **options,
        )

    @np.errstate(all="ignore")
    def update(self, binding: Binding, g: Any, constants: Any, settings: dict[str, Any]) -> None:
        """The direction, the ratio of norms, then the step."""
        p, (m, v, u) = binding.flat, binding.flats
        binding.run(lamb_direction, constants, p, g, m, v, u)
        kappa = trust_ratio(norm(p), norm(u)).astype(u.dtype).reshape(1)
        binding.run(lamb, constants, p, u, kappa)

    def update_together(
        self, bindings: list[Binding], gradients: list[Any], constants: Any, settings: dict[str, Any]
    ) -> None:
        """The same of all parameters, each of the three at once."""
        run = bindings[0].run
        points, directions = [b.flat for b in bindings], [b.flats[-1] for b in bindings]
        rows = [(b.flat, g, *b.flats) for b, g in zip(bindings, gradients, strict=True)]
        run.together(lamb_direction, constants, rows)
        kappas = trust_ratio(*norms(points + directions).reshape(2, -1)).reshape(-1, 1)
        run.together(lamb, constants, [*zip(points, directions, kappas, strict=True)])

    def between(self, formula: Formula, given: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
        """κ, once u is known."""
        if formula is not lamb:
            return {}
        return {"kappa": trust_ratio(*(norm(given[name].reshape(-1)) for name in ("p", "u")))}


def trust_ratio(p_norm: Any, u_norm: Any) -> Any:
    """‖p‖/‖u‖ of a parameter and its direction, arrays or Tensors; 1 where either is 0."""
    return ratio(p_norm, u_norm, (p_norm != 0) & (u_norm != 0))
