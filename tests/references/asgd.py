"""Averaged stochastic gradient descent."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference


class ASGD(Reference):
    """p = p(1 − λη) − η·g; ax = ax + μ(p − ax); then η = lr/(1 + λ·lr·t)^α and μ = 1/max(1, t − t0).

    torch.optim.ASGD (Polyak and Juditsky 1992, in Bottou's schedule). λ is `lambd`, its own decay. η begins as lr and
    is refreshed after use, so another lr lands a step late. While μ = 1, ax is p.
    """

    defaults: ClassVar = {"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0, "maximize": False}
    state_keys = ("step", "eta", "mu", "ax")

    def start(self):
        self.eta, self.mu, self.ax = None, 1.0, self.full(0.0)

    def update(self, g):
        if self.eta is None:
            self.eta = self.lr
        for i, g_i in enumerate(g):
            if self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            self.p[i] = self.p[i] * (1 - self.lambd * self.eta) - self.eta * g_i
            self.ax[i] = self.p[i] if self.mu == 1 else self.ax[i] + self.mu * (self.p[i] - self.ax[i])
        self.eta = self.lr / (1 + self.lambd * self.lr * self.t) ** self.alpha
        self.mu = 1 / max(1, self.t - self.t0)
