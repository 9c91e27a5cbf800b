"""Schedule-free AdamW."""

from __future__ import annotations

import math
from typing import ClassVar

from .base import Reference, divide, sqrt


class ScheduleFreeAdamW(Reference):
    """v = β2·v + (1 − β2)g²; z = z − γ·g/(√v + ε) − γλy; x = (1 − c)x + c·z; y = (1 − β1)z + β1·x.

    Defazio et al. 2024, Algorithm 1: γ = lr·√(1 − β2ᵗ)·min(1, t/warmup_steps), and the gradient and the decay are at
    y, which is p; `x` is the average, for evaluation. c = w/Σw with w = t^r·(the largest γ yet)^weight_lr_power, as
    the authors' code has it; the paper has γ² there, the same while γ grows.
    """

    defaults: ClassVar = {
        "lr": 2.5e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "r": 0.0,
        "weight_lr_power": 2.0,
        "maximize": False,
    }
    state_keys = ("step", "z", "x", "exp_avg_sq")

    def start(self):
        self.z, self.x, self.exp_avg_sq = list(self.p), list(self.p), self.full(0.0)
        self.weight_sum, self.lr_max = 0.0, 0.0

    def update(self, g):
        beta1, beta2 = self.betas
        warmup = self.t / self.warmup_steps if self.t < self.warmup_steps else 1.0
        gamma = self.lr * math.sqrt(1 - beta2**self.t) * warmup
        self.lr_max = max(gamma, self.lr_max)
        weight = self.t**self.r * self.lr_max**self.weight_lr_power
        self.weight_sum = self.weight_sum + weight
        c = weight / self.weight_sum if self.weight_sum != 0 else 0.0
        for i, g_i in enumerate(g):
            self.exp_avg_sq[i] = beta2 * self.exp_avg_sq[i] + (1 - beta2) * g_i * g_i
            direction = divide(g_i, sqrt(self.exp_avg_sq[i]) + self.eps)
            self.z[i] = self.z[i] - gamma * direction - gamma * self.weight_decay * self.p[i]
            self.x[i] = (1 - c) * self.x[i] + c * self.z[i]
            self.p[i] = (1 - beta1) * self.z[i] + beta1 * self.x[i]
