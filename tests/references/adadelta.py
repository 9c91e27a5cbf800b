"""Adadelta."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, sqrt


class Adadelta(Reference):
    """v = ρv + (1 − ρ)g²; Δ = √(u + ε)/√(v + ε)·g; u = ρu + (1 − ρ)Δ²; p = p − lr·Δ.

    Zeiler 2012, Algorithm 1, with torch's lr before the step (the paper has lr = 1).
    """

    defaults: ClassVar = {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0, "maximize": False}
    state_keys = ("step", "square_avg", "acc_delta")

    def start(self):
        self.square_avg, self.acc_delta = self.full(0.0), self.full(0.0)

    def update(self, g):
        for i, g_i in enumerate(g):
            if self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            self.square_avg[i] = self.rho * self.square_avg[i] + (1 - self.rho) * g_i * g_i
            ratio = divide(sqrt(self.acc_delta[i] + self.eps), sqrt(self.square_avg[i] + self.eps))
            delta = ratio * g_i
            self.acc_delta[i] = self.rho * self.acc_delta[i] + (1 - self.rho) * delta * delta
            self.p[i] = self.p[i] - self.lr * delta
