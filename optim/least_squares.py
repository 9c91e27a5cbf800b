"""What Gauss–Newton and Levenberg–Marquardt share: residuals, their Jacobian, and the linear problem in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.curvature import dot, jacobian_products, join, split
from optim.second_order import Recorded


class Residuals(Recorded):
    """F = ½‖r‖² of the residuals r that the closure returns, with their Jacobian J at the accepted point.

    J is built, by as many backward passes as there are residuals or parameters, whichever are fewer, and takes memory
    for their product; so the linear problem is solved to the precision of J, not to that of Jᵀ·J.

    r, J: at the accepted point.
    eps: the residuals' precision.
    """

    what = "the residuals"

    def number(self, outputs: list[Tensor]) -> Tensor:
        """F, infinite where it overflows."""
        r = joined(outputs)
        return Tensor(np.asarray(half_square(r), r.dtype, like=r))

    def differentiate(self, outputs: list[Tensor]) -> None:
        """Set r, J and the gradient Jᵀ·r."""
        self.r, self.J = joined(outputs), self._jacobian(outputs)
        self.eps = float(np.finfo(self.r.dtype).eps)
        with np.errstate(all="ignore"):
            self.gradient = self.r @ self.J

    def _jacobian(self, outputs: list[Tensor]) -> Any:
        m, n = sum(output.size for output in outputs), self.flat.size
        J = np.empty_like(self.x, shape=(m, n))
        jv, vj = jacobian_products(outputs, self.used)
        if m <= n:
            for i in range(m):
                J[i] = self.vector(vj(split(_unit(self.x, m, i), outputs)))
        else:
            for j in range(n):
                J[:, j] = joined(jv(self.parts(_unit(self.x, n, j))))
        return J


def _unit(like: Any, n: int, i: int) -> Any:
    unit = np.zeros_like(like, shape=(n,))
    unit[i] = 1
    return unit


def joined(tensors: list[Tensor]) -> Any:
    """Tensors as one vector."""
    return join([tensor.data for tensor in tensors])


def half_square(r: Any) -> float:
    """½‖r‖², infinite where it overflows."""
    return dot(r, r) / 2


def column_norms(J: Any) -> Any:
    """The length of each column; its squares neither overflow nor vanish."""
    largest = abs(J).max(axis=0, initial=0)
    unit = np.ldexp(np.ones_like(largest), np.frexp(largest)[1] - 1)  # a power of two: nothing is rounded
    J = J / unit
    return unit * np.sqrt((J * J).sum(axis=0))


def solved(J: Any, r: Any, D: Any, mu: float = 0.0) -> Any:
    """The p that minimizes ‖J·p + r‖² + μ‖D·p‖², of several the one with the smallest ‖D·p‖.

    D: the scale of each column; a column is divided by its own, so that units of the parameters do not matter.
    """
    used = D > 0
    D = np.where(used, D, np.ones_like(D))
    A = J / D
    if mu:
        A = np.concatenate([A, math.sqrt(mu) * np.eye(len(D), dtype=J.dtype, like=J)])
        r = np.concatenate([r, np.zeros_like(D)])
    # where a column is 0 so is the answer, but for rounding
    return np.where(used, np.linalg.lstsq(A, -r, rcond=None)[0] / D, np.zeros_like(D))
