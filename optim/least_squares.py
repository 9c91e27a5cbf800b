"""What Gauss–Newton and Levenberg–Marquardt share: residuals, their Jacobian, and the linear problem in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad import Tensor, backend
from minigrad.curvature import jacobian_products
from minigrad.vectors import binade, dot, join, largest, norm, split
from optim.second_order import Recorded


class Residuals(Recorded):
    """F = ½‖r‖² of the residuals r that the closure returns, with their Jacobian J at the accepted point.

    J is built, by as many backward passes as there are residuals or parameters, whichever are fewer, and takes memory
    for their product; so the linear problem is solved to the precision of J, not to that of Jᵀ·J.

    r, J: at the accepted point.
    eps: the residuals' precision.
    unit: the binade of r there. `value` is in units of its square, so that it neither overflows nor vanishes.
    """

    what = "the residuals"

    def number(self, outputs: list[Tensor]) -> Tensor:
        """F, infinite where it overflows and 0 where it vanishes."""
        r = joined(outputs)
        with np.errstate(all="ignore"):
            return Tensor(np.asarray(half_square(r), r.dtype, like=r))

    def measured(self, outputs: list[Tensor]) -> float:
        """F, in units of unit²."""
        return half_square(joined(outputs), self.unit)

    def differentiate(self, outputs: list[Tensor]) -> None:
        """Set r, J and the gradient Jᵀ·r, this in units of their binades.

        Raises ValueError where there are no residuals.
        """
        self.r = joined(outputs)
        if not self.r.size:
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise ValueError(
                f"{type(self._optimizer).__name__}.step: the closure must return at least one residual, got shape "
                f"{shapes}"
            )
        self.J = self._jacobian(outputs)
        self.eps = float(np.finfo(self.r.dtype).eps)
        self.unit, of_J = size(self.r), size(self.J)
        with np.errstate(all="ignore"):
            self.gradient = (self.r / self.unit) @ (self.J / of_J)
        self.gradient_norm = norm(self.gradient) * self.unit * of_J

    @property
    def loss(self) -> float:
        """F at the accepted point."""
        return self.value * self.unit * self.unit

    def _jacobian(self, outputs: list[Tensor]) -> Any:
        m, n = sum(output.size for output in outputs), self.flat.size
        J = backend.empty((m, n), self.x)
        jv, vj = jacobian_products(outputs, self.used)
        if m <= n:
            for i in range(m):
                J[i] = self.vector(vj(split(_unit(self.x, m, i), outputs)))
        else:
            for j in range(n):
                J[:, j] = joined(jv(self.parts(_unit(self.x, n, j))))
        return J


def _unit(like: Any, n: int, i: int) -> Any:
    unit = backend.zeros(n, like)
    unit[i] = 1
    return unit


def joined(tensors: list[Tensor]) -> Any:
    """Tensors as one vector."""
    return join([tensor.data for tensor in tensors])


def size(array: Any) -> float:
    """The binade of the largest element, 1 where that is 0 or not finite."""
    size = largest(array)
    return binade(size) if 0 < size < math.inf else 1.0


def half_square(r: Any, unit: float = 1.0) -> float:
    """½‖r/unit‖², infinite where it overflows."""
    own = size(r)
    r, ratio = r / own, own / unit
    return dot(r, r) / 2 * ratio * ratio


def column_norms(J: Any) -> Any:
    """The length of each column; its squares neither overflow nor vanish."""
    largest = abs(J).max(axis=0) if len(J) else backend.zeros(J.shape[1:], J)
    unit = np.ldexp(np.ones_like(largest), np.frexp(largest)[1] - 1)  # a power of two: nothing is rounded
    J = J / unit
    return unit * np.sqrt((J * J).sum(axis=0))


@np.errstate(all="ignore")
def solved(J: Any, r: Any, D: Any, mu: float = 0.0) -> Any:
    """The p that minimizes ‖J·p + r‖² + μ‖D·p‖², of several the one with the smallest ‖D·p‖.

    D: the scale of each column; a column is divided by its own, so that units of the parameters do not matter.
    """
    used = D > 0
    D = np.where(used, D, np.ones_like(D))
    A = J / D
    if mu:
        A = np.concatenate([A, np.diag(np.full_like(D, math.sqrt(mu)))])
        r = np.concatenate([r, np.zeros_like(D)])
    # where a column is 0 so is the answer, but for rounding
    return np.where(used, np.linalg.lstsq(A, -r, rcond=None)[0] / D, np.zeros_like(D))
