"""RMSprop."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, sqrt


class RMSprop(Reference):
    """v = αv + (1 − α)g²; p = p − lr·g/(√v + ε).

    centered: √(v − ḡ²) with ḡ = αḡ + (1 − α)g, unclamped: NaN where rounding makes it negative.
    momentum: b = μb + g/(√v + ε); p = p − lr·b.
    Tieleman and Hinton 2012, lecture 6.5; centered: Graves 2013, equations 38 to 41, but for where ε stands.
    """

    defaults: ClassVar = {
        "lr": 1e-2,
        "alpha": 0.99,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
        "maximize": False,
    }

    @property
    def state_keys(self):
        keys = ["step", "square_avg"]
        if self.momentum > 0:
            keys.append("momentum_buffer")
        if self.centered:
            keys.append("grad_avg")
        return tuple(keys)

    def start(self):
        self.square_avg, self.grad_avg, self.momentum_buffer = self.full(0.0), self.full(0.0), self.full(0.0)

    def update(self, g):
        for i, g_i in enumerate(g):
            if self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            self.square_avg[i] = self.alpha * self.square_avg[i] + (1 - self.alpha) * g_i * g_i
            v = self.square_avg[i]
            if self.centered:
                self.grad_avg[i] = self.alpha * self.grad_avg[i] + (1 - self.alpha) * g_i
                v = v - self.grad_avg[i] * self.grad_avg[i]
            direction = divide(g_i, sqrt(v) + self.eps)
            if self.momentum > 0:
                self.momentum_buffer[i] = self.momentum * self.momentum_buffer[i] + direction
                direction = self.momentum_buffer[i]
            self.p[i] = self.p[i] - self.lr * direction
