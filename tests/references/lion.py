"""Lion."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, sign


class Lion(Reference):
    """c = β1·m + (1 − β1)g; p = p − lr·(sign(c) + λp); m = β2·m + (1 − β2)g.

    Chen et al. 2023, Algorithm 2.
    """

    defaults: ClassVar = {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0, "maximize": False}
    state_keys = ("exp_avg",)

    def start(self):
        self.exp_avg = self.full(0.0)

    def update(self, g):
        beta1, beta2 = self.betas
        for i, g_i in enumerate(g):
            c = beta1 * self.exp_avg[i] + (1 - beta1) * g_i
            self.p[i] = self.p[i] - self.lr * (sign(c) + self.weight_decay * self.p[i])
            self.exp_avg[i] = beta2 * self.exp_avg[i] + (1 - beta2) * g_i
