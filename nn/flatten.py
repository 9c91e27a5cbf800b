"""Layers that change no value."""

from __future__ import annotations

import math
from typing import Any

from minigrad import ops
from minigrad.checks import integer
from nn.functional import operand
from nn.module import Module


class Identity(Module):
    """Its input, unchanged; any arguments to the constructor are accepted, so that it can stand for another layer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def forward(self, x: Any) -> Any:
        """x."""
        return x


class Flatten(Module):
    """Axes start_dim to end_dim, both included, as one: (batch, ...) becomes (batch, features) by default.

    Raises IndexError for an axis that the input has not, ValueError where start_dim comes after end_dim.
    """

    _ranges = {"start_dim": integer, "end_dim": integer}

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        """x with those axes as one."""
        x = operand("Flatten", "x", x)
        ndim = max(x.ndim, 1)
        for axis in (self.start_dim, self.end_dim):
            if not -ndim <= axis < ndim:
                raise IndexError(f"Flatten: an input of shape {x.shape} has no axis {axis}")
        start, end = self.start_dim % ndim, self.end_dim % ndim
        if start > end:
            raise ValueError(f"Flatten: axis {self.start_dim} comes after axis {self.end_dim} in shape {x.shape}")
        return ops.reshape(x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
