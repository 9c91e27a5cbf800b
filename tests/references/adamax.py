"""Adamax."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, maximum


class Adamax(Reference):
    """m = β1·m + (1 − β1)g; u = max(β2·u, |g| + ε); p = p − lr/(1 − β1ᵗ)·m/u.

    Kingma and Ba 2015, Algorithm 2; ε, which the paper has not, stands where torch puts it.
    """

    defaults: ClassVar = {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "maximize": False}
    state_keys = ("step", "exp_avg", "exp_inf")

    def start(self):
        self.exp_avg, self.exp_inf = self.full(0.0), self.full(0.0)

    def update(self, g):
        beta1, beta2 = self.betas
        for i, g_i in enumerate(g):
            if self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            self.exp_avg[i] = beta1 * self.exp_avg[i] + (1 - beta1) * g_i
            self.exp_inf[i] = maximum(beta2 * self.exp_inf[i], abs(g_i) + self.eps)
            self.p[i] = self.p[i] - divide(self.lr / (1 - beta1**self.t) * self.exp_avg[i], self.exp_inf[i])
