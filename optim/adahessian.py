"""AdaHessian: Adam with the Hessian's diagonal in the place of the squared gradient."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from minigrad import Tensor
from minigrad.checks import BETAS, NONNEGATIVE, UNIT, count, flag
from minigrad.curvature import gradient_and_hvp, rademacher
from optim.elementwise import Binding, ElementwiseOptimizer, Piece
from optim.formula import Stages, formula, sqrt
from optim.optimizer import Closure, Options
from optim.second_order import computed, single


@formula
def adahessian_moments(m, g, v, m_hat, h, *, beta1, beta2, maximize, t):
    if maximize:
        g = -g
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * h * h
    m_hat = 1 / (1 - beta1**t) * m
    h = sqrt(1 / (1 - beta2**t) * v)
    return m, v, m_hat, h


@formula
def adahessian(p, m_hat, h_k, *, lr, eps, weight_decay):
    if weight_decay:
        p = (1 - lr * weight_decay) * p
    p = p - lr * m_hat / (h_k + eps)
    return p


class AdaHessian(ElementwiseOptimizer):
    """AdaHessian: p ← p - lr·(m̂/(h̄ᵏ + ε) + λp), with h̄ = √v̂ and v the running mean of the Hessian's diagonal, squared.

    The diagonal is estimated at each step from one product of the Hessian H with a vector z of random signs: z ⊙ Hz
    (Hutchinson's method). So a step costs as much as a few gradients. The signs depend on the seed, the number of the
    step and that of the parameter alone, so that a run that is resumed goes on as if it had not stopped.

    The closure computes the loss and returns it, and calls no backward (`optim.second_order`). A parameter that the
    loss does not depend on is left alone. Afterwards `.grad` of the others is their gradient where the step started.

    Settings:
        lr: step size, ≥ 0. Default 0.15.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε ≥ 0. Default 1e-4.
        weight_decay: λ ≥ 0, decoupled. Default 0.
        hessian_power: k in [0, 1]: 1 takes the curvature in full, 0 not at all. Default 1.
        seed: of the signs, a whole number from 0. Default 0.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        exp_avg: m, the running mean of the gradient.
        exp_hessian_diag_sq: v.

    Raises TypeError for settings of a wrong type, ValueError for those out of range, TypeError and RuntimeError for a
    closure that does not keep to the protocol.

    Source: Yao et al., "ADAHESSIAN: An Adaptive Second Order Optimizer for Machine Learning" (2021), Algorithm 1. The
    paper also averages the diagonal over the window of a convolution; for the matrices and vectors of an MLP its code
    averages nothing, and so this does. Not in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.AdaHessian([p], lr=0.1)
    >>> for _ in range(2):
    ...     loss = optimizer.step(lambda: (p * p).sum())
    >>> p.numpy().round(6).tolist()
    [0.805273, -1.610545]
    """

    between_latex = r"h = z \odot (H z) \text{ at first, } z_i = \pm 1"
    formula = Stages(("m", "v", "m_hat", "h"), adahessian_moments, adahessian)
    state_keys = {"m": "exp_avg", "v": "exp_hessian_diag_sq"}
    scratch = ("m_hat", "h")
    reduces = True
    read = ("hessian_power",)
    capturable = False
    ranges = {
        "lr": NONNEGATIVE,
        "betas": BETAS,
        "eps": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "hessian_power": UNIT,
        "seed": count,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 0.15,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-4,
        weight_decay: float = 0.0,
        hessian_power: float = 1.0,
        seed: int = 0,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        self._diagonals: dict[Tensor, Any] = {}  # z ⊙ Hz, within a step
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "hessian_power": hessian_power,
                "seed": seed,
                "maximize": maximize,
            },
            **options,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._diagonals = {}

    def step(self, closure: Closure | None = None) -> Any:
        """Update every parameter that the loss depends on, once. Returns the loss.

        closure: required; it computes the loss from the parameters and returns it, without backward.

        Raises what the closure raises, TypeError and RuntimeError where it does not keep to the protocol, ValueError
        for settings that were changed to something out of range. When it raises, no parameter and nothing of the
        optimizer has changed.
        """
        params = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        if any(p.dtype.kind == "c" for p in params):
            raise TypeError("AdaHessian.step: complex parameters are not supported")
        outputs, used = computed(self, closure, params)
        loss = single(self, outputs)
        gradients, hvp = gradient_and_hvp(loss, used)
        zs = self._signs(used)
        for p in params:
            p.grad = None
        for p, g, z, Hz in zip(used, gradients, zs, hvp(zs), strict=True):
            p.grad, self._diagonals[p] = g, z.data * Hz.data
        try:
            super().step()
        finally:
            self._diagonals.clear()
        return loss.detach()

    def _signs(self, used: list[Tensor]) -> list[Tensor]:
        """z of this step: random signs in the shapes of the parameters."""
        signs = {}
        number = 0
        for group in self.param_groups:
            settings = dict(group)
            self.validate(settings)
            for p in group["params"]:
                t = self.state[p].get("step", 0) + 1 if p in self.state else 1
                signs[p] = settings["seed"], t, number
                number += 1
        return [Tensor(rademacher(np.random.default_rng(signs[p]), p.data)) for p in used]

    def _skips(self) -> bool:
        if super()._skips():
            return True
        finite = all(bool(np.isfinite(diagonal).all()) for diagonal in self._diagonals.values())
        self.skipped += not finite
        return not finite

    def _gather(self, number: int, group: dict[str, Any], params: list[Tensor], work: list[Piece]) -> None:
        start = len(work)
        super()._gather(number, group, params, work)
        for p, binding, *_ in work[start:]:
            binding.flats[-1][...] = self._diagonals[p].reshape(-1)

    def update(self, binding: Binding, g: Any, constants: Any, settings: dict[str, Any]) -> None:
        """The moments, the power, which is not exact and so in no formula, then the step."""
        m, v, m_hat, h = binding.flats
        binding.run(adahessian_moments, constants, m, g, v, m_hat, h)
        if settings["hessian_power"] != 1:
            np.power(h, settings["hessian_power"], out=h)
        binding.run(adahessian, constants, binding.flat, m_hat, h)
