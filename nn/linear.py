"""Linear layers."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import DTypeLike

from minigrad import Tensor
from minigrad.checks import flag, from_one
from minigrad.ops import linear
from nn import init
from nn.module import Module
from nn.parameter import Parameter, filled


class Linear(Module):
    """y = x · Wᵀ + b: x (..., in_features), W (out_features, in_features), b (out_features,), y (..., out_features).

    W and b start uniform in ±1/√in_features, from the random stream that `minigrad.manual_seed` seeds.

    in_features, out_features: positive integers.
    bias: False leaves b out.
    device, dtype: of the parameters; the CPU and the default dtype.

    Raises ValueError for sizes that are not positive integers.
    """

    _ranges = {"in_features": from_one, "out_features": from_one}

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(filled(0.0, (self.out_features, self.in_features), device, dtype))
        self.bias = Parameter(filled(0.0, self.out_features, device, dtype)) if flag("Linear: bias", bias) else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1 / math.sqrt(self.in_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Any) -> Tensor:
        """x · Wᵀ + b."""
        answer: Tensor = linear(x, self.weight, self.bias)
        return answer

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
