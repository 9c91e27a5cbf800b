"""Adafactor."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Unpack

import numpy as np

from minigrad import Tensor
from optim.arraywise import ArraywiseOptimizer, Shape, Weight, lerp
from optim.hyperparameters import NONNEGATIVE, flag, optional, tuple_of, within
from optim.optimizer import Options


class _Numbers(NamedTuple):
    rate: Any  # min(lr, 1/√t), with the sign of the step
    weight: Weight  # 1 - β̂2
    eps1: Any
    least: Any  # ε1²
    eps2: Any
    d: Any
    kept: Any  # 1 - lr·λ, or None


class Adafactor(ArraywiseOptimizer):
    """Adafactor: p ← p - α·U/max(1, RMS(U)/d), with U = g/√V, where V is kept as its row and column means.

    R ← β̂2·R + (1 - β̂2)·mean of g² over columns, C likewise over rows, with 1 - β̂2 = t^τ; V = R·C/max(mean of R, ε1),
    at least ε1². A vector or a number keeps V itself; more than two axes are a batch of matrices over the last two.
    α = max(ε2, RMS(p))·min(lr, 1/√t), of p before its decay.

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

    counted = True
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

    def state_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Of R and C, or of V."""
        if len(shape) < 2:
            return {"variance": shape}
        return {"row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}

    def scratch_shapes(self, shape: Shape) -> list[Shape]:
        """Of g², of U, and of means over columns, over rows and over both."""
        if len(shape) < 2:
            return [shape, shape]
        return [shape, shape, *self.state_shapes(shape).values(), (*shape[:-2], 1, 1)]

    def settled(self, group: dict[str, Any], params: list[Tensor]) -> dict[str, Any]:
        """The group's settings, checked, with a number for ε1."""
        settings = super().settled(group, params)
        eps1, eps2 = settings["eps"]
        if eps1 is None and params:
            eps1 = float(np.finfo(params[0].dtype).eps)
        return settings | {"eps": (eps1, eps2)}

    def computed(self, settings: dict[str, Any], t: int, shape: Shape) -> _Numbers:
        """Those of step t."""
        lr, (eps1, eps2), decay = settings["lr"], settings["eps"], settings["weight_decay"]
        rate = min(lr, 1 / math.sqrt(t))
        return _Numbers(
            float(rate if settings["maximize"] else -rate),
            Weight.of(t ** settings["beta2_decay"]),
            float(eps1),
            float(eps1 * eps1),
            float(eps2),
            float(settings["d"]),
            float(1 - lr * decay) if decay else None,
        )

    def update(self, p: Any, g: Any, state: dict[str, Any], numbers: _Numbers, scratch: list[Any]) -> None:
        """p ← (1 - lr·λ)·p - α·U/max(1, RMS(U)/d)."""
        square, u, *means = scratch
        alpha = np.fmax(_rms(p, square), numbers.eps2) * numbers.rate

        np.square(g, out=square)
        if means:
            _factored(state, square, numbers.weight, numbers.eps1, u, *means)
        else:
            lerp(state["variance"], square, numbers.weight, u)
            u[...] = state["variance"]
        np.sqrt(np.maximum(u, numbers.least, out=u), out=u)
        np.divide(g, u, out=u)
        clip = np.fmax(_rms(u, square) / numbers.d, 1.0)
        np.multiply(u, alpha / clip, out=u)
        if numbers.kept is not None:
            np.multiply(p, numbers.kept, out=p)
        np.add(p, u, out=p)


def _rms(p: Any, scratch: Any) -> Any:
    """The root mean square of an array, as a number on its device."""
    return np.sqrt(np.mean(np.square(p, out=scratch)))


def _factored(
    state: dict[str, Any], square: Any, weight: Weight, eps1: Any, v: Any, rows: Any, columns: Any, both: Any
) -> None:
    """Take g² into R and C with this weight, and write the V that they make."""
    r, c = state["row_var"], state["col_var"]
    lerp(r, np.mean(square, axis=-1, keepdims=True, out=rows), weight, rows)
    lerp(c, np.mean(square, axis=-2, keepdims=True, out=columns), weight, columns)
    np.mean(r, axis=-2, keepdims=True, out=both)
    np.multiply(r, c, out=v)
    np.divide(v, np.maximum(both, eps1, out=both), out=v)
