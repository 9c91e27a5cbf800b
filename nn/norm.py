"""Layers that normalize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minigrad import backend
from minigrad.checks import NONNEGATIVE, UNIT, flag, from_one, list_of, optional
from nn import functional as F
from nn.module import Module
from nn.parameter import Buffer, Parameter, filled


def lengths(name: str, value: Any) -> tuple[int, ...]:
    """A check of the lengths of some axes; the one of the last axis may stand alone."""
    checked = tuple(list_of(from_one)(name, value if isinstance(value, list | tuple) else [value]))
    if not checked:
        raise ValueError(f"{name} must have at least one length, got {value!r}")
    return checked


class LayerNorm(Module):
    """(x - E[x]) / √(Var[x] + eps) · weight + bias, mean and variance over the last axes of each example.

    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016.

    normalized_shape: the lengths of those axes, or the one of the last axis.
    eps: added to the variance; 1e-5.
    elementwise_affine: False leaves weight (which starts as 1) and bias (0) out; bias=False only the bias.
    device, dtype: of the parameters; the CPU and the default dtype.

    Raises ValueError for lengths that are not positive integers and a negative eps, and in a call for an input of other
    last axes.
    """

    _ranges = {"normalized_shape": lengths, "eps": NONNEGATIVE, "elementwise_affine": flag}
    normalized_shape: tuple[int, ...]
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
        self.normalized_shape = normalized_shape  # type: ignore[assignment]  # as the check makes it
        self.eps, self.elementwise_affine = eps, elementwise_affine
        shape, affine = self.normalized_shape, self.elementwise_affine
        self.weight = Parameter(filled(1.0, shape, device, dtype)) if affine else None
        self.bias = Parameter(filled(0.0, shape, device, dtype)) if flag("LayerNorm: bias", bias) and affine else None

    def forward(self, x: Any) -> Any:
        """x normalized."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The settings."""
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


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

    Raises ValueError for num_features that is not a positive integer, eps < 0 and a momentum outside [0, 1], and in a
    call for other shapes, and in training for fewer than two values in a channel.
    """

    _ranges = {
        "num_features": from_one,
        "eps": NONNEGATIVE,
        "momentum": optional(UNIT),
        "affine": flag,
        "track_running_stats": flag,
    }
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
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        shape, tracked = (self.num_features,), self.track_running_stats
        self.weight = Parameter(filled(1.0, shape, device, dtype)) if self.affine else None
        biased = flag("BatchNorm1d: bias", bias) and self.affine
        self.bias = Parameter(filled(0.0, shape, device, dtype)) if biased else None
        self.running_mean = Buffer(filled(0.0, shape, device, dtype)) if tracked else None
        self.running_var = Buffer(filled(1.0, shape, device, dtype)) if tracked else None
        self.num_batches_tracked = Buffer(filled(0.0, (), device, None).astype(np.int64)) if tracked else None

    def reset_running_stats(self) -> None:
        """Forget the batches so far: a mean of 0, a variance of 1."""
        for buffer, start in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                buffer[...] = start

    def forward(self, x: Any) -> Any:
        """x normalized."""
        x = F.operand("BatchNorm1d", "x", x)
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
            backend.activate(self.num_batches_tracked.data)
            self.num_batches_tracked.data += 1
            self.num_batches_tracked.mark_written()
            if self.momentum is None:
                return 1 / int(self.num_batches_tracked.item())
        return self.momentum or 0.0

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )
