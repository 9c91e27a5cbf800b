"""Activations as modules.

Those that PyTorch can compute in place take its `inplace`; here it changes nothing but `repr`. The answer is the same,
and the input keeps its values, which the tape may need.
"""

from __future__ import annotations

import math
from typing import Any

from minigrad import ops
from minigrad.checks import FINITE, flag, integer, one_of, optional, within
from nn import functional as F
from nn.module import Module


class ReLU(Module):
    """max(x, 0); subgradient 0 at 0. `inplace` is taken and changes nothing: the input keeps its values."""

    _ranges = {"inplace": flag}

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        """max(x, 0)."""
        return ops.relu(x)

    def extra_repr(self) -> str:
        """The setting, where it is not the default."""
        return _inplace(self)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x: Any) -> Any:
        """tanh(x)."""
        return ops.tanh(x)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Any) -> Any:
        """sigmoid(x)."""
        return ops.sigmoid(x)


class LeakyReLU(Module):
    """x where it is positive, negative_slope · x elsewhere; that side's derivative at 0. `inplace` as in ReLU."""

    _ranges = {"negative_slope": FINITE, "inplace": flag}

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, x: Any) -> Any:
        """leaky_relu(x)."""
        return ops.leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        """The slope."""
        return f"negative_slope={self.negative_slope}{_inplace(self, ', ')}"


class ELU(Module):
    """x where it is positive, alpha · (exp(x) - 1) elsewhere. `inplace` as in ReLU."""

    _ranges = {"alpha": FINITE, "inplace": flag}

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha, self.inplace = alpha, inplace

    def forward(self, x: Any) -> Any:
        """elu(x)."""
        return ops.elu(x, self.alpha)

    def extra_repr(self) -> str:
        """The scale."""
        return f"alpha={self.alpha}{_inplace(self, ', ')}"


class Softplus(Module):
    """log(1 + exp(beta · x)) / beta, and x itself where beta · x is above `threshold`."""

    _ranges = {"beta": FINITE, "threshold": within(-math.inf)}

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Any) -> Any:
        """softplus(x)."""
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The settings."""
        return f"beta={self.beta}, threshold={self.threshold}"


class GELU(Module):
    """x · Φ(x), Φ the normal distribution.

    approximate: "none" for the error function, "tanh" for a formula close to it. Raises ValueError for any other.
    """

    _ranges = {"approximate": one_of("none", "tanh")}

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        """gelu(x)."""
        return ops.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """The formula."""
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x · sigmoid(x). `inplace` as in ReLU."""

    _ranges = {"inplace": flag}

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, x: Any) -> Any:
        """silu(x)."""
        return ops.silu(x)

    def extra_repr(self) -> str:
        """The setting, where it is not the default."""
        return _inplace(self)


class Softmax(Module):
    """exp(x) over its sum along an axis.

    dim: the axis. None means 0 for inputs of 0, 1 or 3 axes and 1 for others, so rather say which.
    """

    _ranges = {"dim": optional(integer)}

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def forward(self, x: Any) -> Any:
        """softmax(x)."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """Logarithm of softmax, without overflow.

    dim: the axis, as in Softmax.
    """

    def forward(self, x: Any) -> Any:
        """log_softmax(x)."""
        return F.log_softmax(x, self.dim)


def _inplace(module: Any, before: str = "") -> str:
    return f"{before}inplace=True" if module.inplace else ""
