"""SparseAdam: Adam on the rows that a gradient names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from .base import Reference, divide, sqrt


class SparseAdam(Reference):
    """p = p − lr·√(1 − β2ᵗ)/(1 − β1ᵗ)·m/(√v + ε), for the named rows alone: m and v of the others do not decay.

    torch.optim.SparseAdam: Kingma and Ba 2015, section 2's last remark, on masked rows. t counts the steps of the
    parameter, not of the row; an empty gradient counts. The means move as torch moves them, by (1 − β)(g − m), which
    cancels where g is much the smaller: then βm + (1 − β)g is another number.
    """

    defaults: ClassVar = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "maximize": False}
    state_keys = ("step", "exp_avg", "exp_avg_sq")

    def start(self):
        self.exp_avg, self.exp_avg_sq = self.full(0.0), self.full(0.0)

    def step(self, g: Sequence[float] | None, rows: Sequence[int] | None = None) -> None:
        """One step with the flattened gradients of `rows` (default: all); a row named twice gets the sum."""
        if g is None:
            return
        self.t += 1
        width = math.prod(self.shape[1:])
        total = {}
        for place, row in enumerate(range(self.shape[0]) if rows is None else rows):
            for j in range(width):
                g_ij = g[place * width + j]
                total[row * width + j] = total.get(row * width + j, 0.0) + (-g_ij if self.maximize else g_ij)
        self.update(total)

    def update(self, g):
        beta1, beta2 = self.betas
        step_size = self.lr * math.sqrt(1 - beta2**self.t) / (1 - beta1**self.t)
        for i, g_i in g.items():
            self.exp_avg[i] = self.exp_avg[i] + (1 - beta1) * (g_i - self.exp_avg[i])
            self.exp_avg_sq[i] = self.exp_avg_sq[i] + (1 - beta2) * (g_i * g_i - self.exp_avg_sq[i])
            self.p[i] = self.p[i] - step_size * divide(self.exp_avg[i], sqrt(self.exp_avg_sq[i]) + self.eps)
