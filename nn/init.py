"""Initial values, written into a tensor in place and drawn from a seeded stream."""

from __future__ import annotations

import numpy as np

from minigrad import Tensor, backend


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Fill `tensor` with numbers uniform in [a, b), from `generator` or the stream that `manual_seed` seeds."""
    return _fill(tensor, (generator or backend.default_generator()).uniform(a, b, tensor.shape))


def _fill(tensor: Tensor, values: np.ndarray) -> Tensor:
    # Always drawn in float64 on the host: every device and type starts from the same numbers.
    backend.copy_into(tensor.data, values.astype(tensor.dtype))
    tensor.mark_written()
    return tensor
