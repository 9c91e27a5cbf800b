"""Schedule-free SGD."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference


class ScheduleFreeSGD(Reference):
    """z = z − γ(g + λy); x = (1 − c)x + c·z; y = (1 − β)z + βx, with the gradient at y and β the momentum.

    Defazio et al. 2024, equations 3 to 5. p is y, where the gradient is taken; `x` is the average, for evaluation.
    γ = lr·min(1, t/warmup_steps); c = w/Σw with w = t^r·(the largest γ yet)^weight_lr_power, as the authors' code has
    it: with constant γ and r = 0, c = 1/t, the plain average of the paper.
    """

    defaults: ClassVar = {
        "lr": 1.0,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "r": 0.0,
        "weight_lr_power": 2.0,
        "maximize": False,
    }
    state_keys = ("step", "z", "x")

    def start(self):
        self.z, self.x = list(self.p), list(self.p)
        self.weight_sum, self.lr_max = 0.0, 0.0

    def update(self, g):
        gamma = self.lr * (self.t / self.warmup_steps if self.t < self.warmup_steps else 1.0)
        self.lr_max = max(gamma, self.lr_max)
        weight = self.t**self.r * self.lr_max**self.weight_lr_power
        self.weight_sum = self.weight_sum + weight
        c = weight / self.weight_sum if self.weight_sum != 0 else 0.0
        for i, g_i in enumerate(g):
            if self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            self.z[i] = self.z[i] - gamma * g_i
            self.x[i] = (1 - c) * self.x[i] + c * self.z[i]
            self.p[i] = (1 - self.momentum) * self.z[i] + self.momentum * self.x[i]
