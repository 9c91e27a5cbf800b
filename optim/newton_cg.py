"""Newton's method with conjugate gradients inside, in a trust region."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from minigrad import Tensor
from minigrad.checks import POSITIVE, flag, from_one, optional, within
from minigrad.curvature import gradient_and_hvp
from minigrad.vectors import binade, dot, norm
from optim.closure import NO_LOWER_POINT, NOT_FINITE
from optim.optimizer import Options
from optim.second_order import STATIONARY, Recorded, SecondOrderOptimizer, single

ETA = 0.15
"""η: a trial point is accepted where the loss falls by more than this part of what the model promises."""
BOUNDARY = "boundary of the trust region"
NEGATIVE_CURVATURE = "negative curvature"
CONVERGED = "converged"
LIMIT = "max_cg reached"


@dataclass(frozen=True)
class NewtonCGReport:
    """What a step of NewtonCG did.

    stopped: why it ended, in words.
    evaluations: how often the closure was called.
    products: how many products with the Hessian were taken.
    loss: where the parameters are now.
    gradient_norm: ‖g‖, where the step started.
    radius: Δ, for the next step; where no point was accepted, that of this one.
    step_norm: ‖p‖ of the point that was accepted, 0 where none was.
    ratio: ρ of the last trial point, the actual over the predicted fall of the loss.
    inner: how the conjugate gradients of the last trial point ended, in words.
    """

    stopped: str
    evaluations: int
    products: int
    loss: float
    gradient_norm: float
    radius: float
    step_norm: float = 0.0
    ratio: float = math.nan
    inner: str = ""


class Curved(Recorded):
    """The closure's loss, with its gradient and products of its Hessian at the accepted point."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.products = 0

    def number(self, outputs: list[Tensor]) -> Tensor:
        """The loss."""
        return single(self._optimizer, outputs)

    def differentiate(self, outputs: list[Tensor]) -> None:
        """Set the gradient, and record what the Hessian's products are computed from."""
        gradients, self._hvp = gradient_and_hvp(outputs[0], self.used)
        self.gradient = self.signed(self.vector(gradients))

    def hessian(self, v: Any) -> Any:
        """H·v.

        Raises RuntimeError where it is not finite.
        """
        self.products += 1
        product = self.signed(self.vector(self._hvp(self.parts(v))))
        if not bool(np.isfinite(product).all()):
            raise RuntimeError(
                f"{type(self._optimizer).__name__}.step: a product with the Hessian is not finite where the step starts"
            )
        return product


class NewtonCG(SecondOrderOptimizer):
    """Newton–CG in a trust region: x ← x + p, where p nearly minimizes gᵀp + ½pᵀHp over ‖p‖ ≤ Δ.

    The Hessian H is never built: conjugate gradients take its products with vectors, each about as costly as two
    gradients. They end where the model is minimized well enough, at the boundary of the trust region, or along a
    direction of negative curvature, which is followed to the boundary; so the method leaves saddles and needs no
    convexity. Near a minimum its steps are Newton's. A step tries points until one is accepted: each time that the loss
    falls by less than the model says, or is not finite, Δ shrinks. But for rounding, no step leads up.

    The closure computes the loss and returns it, and calls no backward (`optim.second_order`). All groups are one
    vector and share the settings.

    Settings:
        radius: Δ of the first step, > 0, a length in the space of all parameters. Default 1.
        max_radius: the largest Δ, > 0. Default 1000.
        forcing: the conjugate gradients end where ‖Hp + g‖ ≤ min(forcing, √‖g‖)·‖g‖; in (0, 1). Default 0.5.
        max_cg: most products with the Hessian for a trial point, ≥ 1; None is ten times the number of elements, which
            only rounding lets them reach. Default None.
        maximize: climb instead of descend. Default False.

    State, of the first parameter:
        radius: Δ.
        n_iter, func_evals: points accepted and calls of the closure, over all steps.

    report: a NewtonCGReport of the last step.

    Raises ValueError for settings out of range or different between groups; `step` says what it raises.

    Source: Nocedal and Wright, "Numerical Optimization" (2nd edition, 2006), algorithms 4.1 and 7.2 (Steihaug's), with
    the forcing sequence of section 7.1. After a rejection Δ is ‖p‖/4, as ¼Δ may be longer than p. Not in torch.

    >>> import minigrad as mg, optim
    >>> x = mg.tensor([-1.2, 1.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.NewtonCG([x])
    >>> for _ in range(30):
    ...     loss = optimizer.step(lambda: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2)
    >>> x.tolist(), optimizer.report.stopped
    ([1.0, 1.0], 'gradient is zero')
    """

    ranges = {
        "radius": POSITIVE,
        "max_radius": POSITIVE,
        "forcing": within(0.0, 1.0, open_low=True, open_high=True),
        "max_cg": optional(from_one),
        "maximize": flag,
    }
    remembers = {"radius": POSITIVE}
    objective = Curved
    report: NewtonCGReport | None = None

    def __init__(
        self,
        params: Any,
        radius: float = 1.0,
        max_radius: float = 1000.0,
        forcing: float = 0.5,
        max_cg: int | None = None,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "radius": radius,
                "max_radius": max_radius,
                "forcing": forcing,
                "max_cg": max_cg,
                "maximize": maximize,
            },
            **options,
        )

    def descend(self, objective: Curved, state: dict[str, Any], settings: dict[str, Any]) -> NewtonCGReport:
        """Algorithm 4.1, until a point is accepted."""
        x, g_norm = objective.x, norm(objective.gradient)
        ratio, inner = math.nan, ""

        def kept() -> float:
            return float(min(state.get("radius", settings["radius"]), settings["max_radius"]))

        def report(stopped: str, step_norm: float = 0.0) -> NewtonCGReport:
            counts = objective.evaluations, objective.products
            return NewtonCGReport(
                stopped, *counts, objective.signed(objective.value), g_norm, kept(), step_norm, ratio, inner
            )

        if not objective.finite:
            return report(NOT_FINITE)
        if not g_norm:
            return report(STATIONARY)
        scale = binade(max(g_norm, math.sqrt(np.finfo(x.dtype).tiny)))  # of the model: its squares stay in the type
        tolerance = min(settings["forcing"], math.sqrt(g_norm)) * g_norm / scale
        radius = kept()
        shortest = float(np.finfo(x.dtype).eps) * max(norm(x), settings["radius"])
        while radius > shortest:
            g = objective.gradient / scale
            p, r, inner = steihaug(
                g, lambda d: objective.hessian(d) / scale, radius, tolerance, settings["max_cg"] or 10 * len(x)
            )
            length, trial = norm(p), objective.at(x + p)
            ratio = objective.gain(trial, -scale * dot(p, g + r) / 2)
            if ratio < 0.25:
                radius = length / 4
            elif ratio > 0.75 and inner in (BOUNDARY, NEGATIVE_CURVATURE):
                radius = min(2 * radius, settings["max_radius"])
            if ratio > ETA:
                return report(objective.accept(x + p, trial, state, radius=radius), length)
            objective.back()
            objective.start()  # what was recorded before has seen its parameters change
        return report(NO_LOWER_POINT)


def steihaug(g: Any, product: Any, radius: float, tolerance: float, limit: int) -> tuple[Any, Any, str]:
    """Minimize gᵀp + ½pᵀBp over ‖p‖ ≤ radius, nearly: p, the residual Bp + g, and why it ended, in words.

    product: d ↦ B·d, for a symmetric B that need not be positive definite.
    tolerance: of the residual's norm. limit: of the number of products.

    The model falls from each iterate to the next, and none is shorter than the one before.

    Source: Nocedal and Wright (2006), algorithm 7.2.
    """
    p, r, d = np.zeros_like(g), g, -g
    for _ in range(limit):
        Bd = product(d)
        curvature = dot(d, Bd)
        if curvature <= 0:
            tau = _to_boundary(p, d, radius)
            return p + tau * d, r + tau * Bd, NEGATIVE_CURVATURE
        alpha = dot(r, r) / curvature
        if not norm(p + alpha * d) < radius:
            tau = _to_boundary(p, d, radius)
            return p + tau * d, r + tau * Bd, BOUNDARY
        p = p + alpha * d
        before, r = r, r + alpha * Bd
        if norm(r) <= tolerance:
            return p, r, CONVERGED
        d = dot(r, r) / dot(before, before) * d - r
    return p, r, LIMIT


def _to_boundary(p: Any, d: Any, radius: float) -> float:
    """The τ ≥ 0 where ‖p + τd‖ = radius."""
    dd, pd, gap = dot(d, d), dot(p, d), radius**2 - dot(p, p)
    root = math.sqrt(pd**2 + dd * gap)
    return gap / (pd + root) if pd > 0 else (root - pd) / dd  # whichever does not cancel
