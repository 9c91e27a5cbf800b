"""Dropout."""

from __future__ import annotations

from typing import Any

from minigrad.checks import UNIT, flag
from nn import functional as F
from nn.module import Module


class Dropout(Module):
    """In training, each element becomes 0 with probability p, and the others grow by 1 / (1 - p); else unchanged.

    Which become 0 is drawn from the random stream that `minigrad.manual_seed` seeds.

    N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15 (2014).

    p: in [0, 1]; 0.5 by default. Raises ValueError for any other.
    inplace: changes nothing, as in ReLU.
    """

    _ranges = {"p": UNIT, "inplace": flag}

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        self.p, self.inplace = p, inplace

    def forward(self, x: Any) -> Any:
        """x, thinned out in training."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}{', inplace=True' if self.inplace else ''}"
