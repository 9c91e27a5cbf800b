"""Layers that normalize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nn import functional as F
from nn.module import Module
from nn.parameter import Buffer, Parameter, filled


class LayerNorm(Module):
    """(x - E[x]) / √(Var[x] + eps) · weight + bias, mean and variance over the last axes of each example.

    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016.

    normalized_shape: the lengths of those axes, or the one of the last axis.
    eps: added to the variance; 1e-5.
    elementwise_affine: False leaves weight (which starts as 1) and bias (0) out; bias=False only the bias.
    device, dtype: of the parameters; the CPU and the default dtype.

    Raises ValueError for lengths that are not positive integers, and in a call for an input of other last axes.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        shape = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        if not shape or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
            raise ValueError(f"LayerNorm: normalized_shape must be of positive integers, got {normalized_shape!r}")
        self.normalized_shape, self.eps, self.elementwise_affine = shape, eps, elementwise_affine
        self.weight = Parameter(filled(1.0, shape, device, dtype)) if elementwise_affine else None
        self.bias = Parameter(filled(0.0, shape, device, dtype)) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Any:
        """x normalized."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class BatchNorm1d(Module):
    """(x - E[x]) / √(Var[x] + eps) · weight + bias for each channel: x (batch, channels) or (batch, channels, length).

    In training, mean and variance are those of the batch, and the running ones move towards them:
    running = (1 - momentum) · running + momentum · batch, with the unbiased variance. In evaluation the running ones
    are used.

    S. Ioffe, C. Szegedy, "Batch Normalization", 2015.

    num_features: channels.
    eps: added to the variance; 1e-5.
    momentum: of the running statistics, 0.1; None for the mean over all batches so far.
    affine: False leaves weight (which starts as 1) and bias (0) out; bias=False only the bias.
    track_running_stats: False keeps no running statistics, and uses those of the batch in evaluation too.
    device, dtype: of parameters and running statistics; the CPU and the default dtype.

    Raises ValueError for num_features that is not a positive integer, and in a call for other shapes, and in training
    for fewer than two values in a channel.
    """

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Buffer | None
    running_var: Buffer | None
    num_batches_tracked: Buffer | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        bias: bool = True,
    ) -> None:
        if not isinstance(num_features, int | np.integer) or num_features < 1:
            raise ValueError(f"BatchNorm1d: num_features must be a positive integer, got {num_features!r}")
        self.num_features, self.eps, self.momentum = int(num_features), eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(filled(1.0, self.num_features, device, dtype)) if affine else None
        self.bias = Parameter(filled(0.0, self.num_features, device, dtype)) if affine and bias else None
        tracked = track_running_stats
        self.running_mean = Buffer(filled(0.0, self.num_features, device, dtype)) if tracked else None
        self.running_var = Buffer(filled(1.0, self.num_features, device, dtype)) if tracked else None
        self.num_batches_tracked = Buffer(filled(0, (), device, np.int64)) if tracked else None

    def reset_running_stats(self) -> None:
        """Forget the batches so far: a mean of 0, a variance of 1."""
        for buffer, start in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                buffer[...] = start

    def forward(self, x: Any) -> Any:
        """x normalized."""
        if x.ndim not in (2, 3) or x.shape[1] != self.num_features:
            raise ValueError(
                f"BatchNorm1d: expected shape (batch, {self.num_features}) or (batch, {self.num_features}, length), "
                f"got {x.shape}"
            )
        by_batch = self.training or self.running_mean is None
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, by_batch, self._count_batch(x), self.eps
        )

    def _count_batch(self, x: Any) -> float:
        """The momentum of this batch, which is counted where running statistics are."""
        if self.training and self.num_batches_tracked is not None and x.size > self.num_features:
            self.num_batches_tracked.data += 1
            self.num_batches_tracked.mark_written()
            if self.momentum is None:
                return 1 / int(self.num_batches_tracked.item())
        return self.momentum or 0.0

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )
