"""Activations as modules."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from nn.module import Module


class ReLU(Module):
    """max(x, 0); subgradient 0 at 0."""

    def forward(self, x: Any) -> Any:
        """max(x, 0)."""
        return ops.relu(x)


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
