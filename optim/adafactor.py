"""Adafactor."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from minigrad.checks import NONNEGATIVE, flag, optional, tuple_of, within
from optim.elementwise import Binding, ElementwiseOptimizer, Settled
from optim.formula import Scalar, Stages, formula, lerp, maximum, sqrt
from optim.lars import norm
from optim.optimizer import Options
from optim.scratch import Shape


@formula
def adafactor_variance(v, s, *, beta2_decay, t):
    v = lerp(v, s, t**beta2_decay)
    return v


@formula
def adafactor_direction(u, g, v, eps1_squared: Scalar, *, maximize):
    if maximize:
        g = -g
    u = g / sqrt(maximum(v, eps1_squared))
    return u


@formula
def adafactor(p, u, kappa: Scalar, *, lr, weight_decay, t):
    rho = min(lr, 1 / sqrt(t))
    if weight_decay:
        p = (1 - lr * weight_decay) * p
    p = p - rho * kappa * u
    return p


class Adafactor(ElementwiseOptimizer):
    """Adafactor: p ← p - α·U/max(1, RMS(U)/d), with U = g/√V, where V is kept as its row and column means.

    R ← β̂2·R + (1 - β̂2)·mean of g² over columns, C likewise over rows, with 1 - β̂2 = t^τ; V = R·C/max(mean of R, ε1),
    at least ε1². A vector or a number keeps V itself; more than two axes are a batch of matrices over the last two.
    α = max(ε2, RMS(p))·min(lr, 1/√t), of p before its decay. In the formula ρ = min(lr, 1/√t), and κ is all else that U
    is multiplied by.

    Settings:
        lr: the largest relative step, and the factor of the decay, ≥ 0. Default 1e-2.
        beta2_decay: τ ≤ 0. Default -0.8.
        eps: (ε1, ε2), each ≥ 0. An ε1 of None is the distance from 1 to the next number in the type of the first
            parameter of the group that has a gradient, for the whole group. Default (None, 1e-3).
        d: the RMS above which U is scaled down, ≥ 1. Default 1.
        weight_decay: λ ≥ 0; p is multiplied by 1 - lr·λ. Default 0.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its dtype:
        step: number of updates.
        row_var, col_var: R and C, of the parameter's shape with 1 for the last and the last but one axis; only
            with two axes or more.
        variance: V, of the parameter's shape; only with fewer.

    Raises TypeError for settings of a wrong type, ValueError for those out of range, RuntimeError in a step for complex
    parameters.

    Source: Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost" (2018), Algorithms 4 and
    5, with section 7's settings. As in torch, and unlike there: lr stands in the place of the constant 0.01 in
    min(0.01, 1/√t), and ε1 is a lower bound of the mean of R and, squared, of V, where the paper adds it to g².

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([[1.0, -2.0], [3.0, 0.5]], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Adafactor([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [[0.816594, -1.441767], [2.59741, 0.397061]]
    """

    formula = Stages(("r", "c", "v"), adafactor_variance, adafactor_direction, adafactor)
    state_keys = {"r": "row_var", "c": "col_var", "v": "variance"}
    reduces = True
    read = ("eps", "d")
    between_latex = (
        r"s = g^2, \quad v = \frac{r \, c}{\max(\bar r, \epsilon_1)} "
        r"\text{ of means } r, c \text{ of rows and columns}, \quad "
        r"\kappa = \frac{\max(\epsilon_2, \mathrm{RMS}(\theta))}{\max(1, \mathrm{RMS}(u) / d)}"
    )
    takes_complex = False
    ranges = {
        "lr": NONNEGATIVE,
        "beta2_decay": within(-math.inf, 0.0, open_low=True),
        "eps": tuple_of(optional(NONNEGATIVE), NONNEGATIVE),
        "d": within(1.0, open_high=True),
        "weight_decay": NONNEGATIVE,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "beta2_decay": beta2_decay,
                "eps": eps,
                "d": d,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
            **options,
        )

    def state_shape(self, name: str, shape: Shape) -> Any:
        """That of R and C, where there are two axes or more, and else of V."""
        if len(shape) < 2:
            return shape if name == "v" else None
        return {"r": (*shape[:-1], 1), "c": (*shape[:-2], 1, shape[-1])}.get(name)

    def scratch_shapes(self, shape: Shape) -> list[Shape]:
        """Of means over columns, over rows and over both, then of g², U, ε1² and κ."""
        size = (math.prod(shape),)
        means = [(*shape[:-1], 1), (*shape[:-2], 1, shape[-1]), (*shape[:-2], 1, 1)] if len(shape) > 1 else []
        return [*means, size, size, (1,), (1,)]

    def settle(self, number: int, group: dict[str, Any]) -> Settled:
        """With a number for ε1."""
        settled = super().settle(number, group)
        first = next((p for p in group["params"] if p.grad is not None), None)
        if group["eps"][0] is None and first is not None:
            settled.read["eps"] = float(np.finfo(first.dtype).eps), settled.read["eps"][1]
        return settled

    @np.errstate(all="ignore")
    def update(self, binding: Binding, g: Any, constants: Any, settings: dict[str, Any]) -> None:
        """R and C, or V; the direction, its size, the step. Means and R·C, of rows against columns, are array code."""
        if not g.size:
            return
        run, p = binding.run, binding.flat
        eps1, eps2 = settings["eps"]
        *rest, square, u, eps1_squared, kappa = binding.flats
        eps1_squared[...] = eps1
        np.square(eps1_squared, out=eps1_squared)
        np.square(g, out=square)
        if len(binding.shape) < 2:
            (v,) = rest
            run(adafactor_variance, constants, v, square)
        else:
            r, c, rows, columns, both = rest
            v, matrices = square, square.reshape(binding.shape)
            np.mean(matrices, axis=-1, keepdims=True, out=rows)
            np.mean(matrices, axis=-2, keepdims=True, out=columns)
            run(adafactor_variance, constants, r, rows.ravel())
            run(adafactor_variance, constants, c, columns.ravel())
            r, c = r.reshape(rows.shape), c.reshape(columns.shape)
            np.mean(r, axis=-2, keepdims=True, out=both)
            np.divide(np.multiply(r, c, out=matrices), np.maximum(both, eps1, out=both), out=matrices)
        run(adafactor_direction, constants, u, g, v, eps1_squared)
        kappa[...] = np.fmax(_rms(p), eps2) / np.fmax(_rms(u) / settings["d"], 1)
        run(adafactor, constants, p, u, kappa)


def _rms(x: Any) -> Any:
    """The root mean square of a vector, on its device."""
    return norm(x) / math.sqrt(x.size)
