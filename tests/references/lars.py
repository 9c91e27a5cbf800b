"""LARS."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, norm


class LARS(Reference):
    """κ = η‖p‖/(‖g‖ + λ‖p‖ + ε); v = μv + lr·κ·(g + λp); p = p − v, with η the trust_coefficient.

    You, Gitman and Ginsburg 2017, equation 6 and Algorithm 1: lr stands inside the velocity, where torch's SGD has it
    outside. ε (default 0) is not in the paper. κ = 1 where ‖p‖ or ‖g‖ is 0, so that a zero parameter can leave zero.
    """

    defaults: ClassVar = {
        "lr": 1e-3,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "trust_coefficient": 1e-3,
        "eps": 0.0,
        "maximize": False,
    }
    state_keys = ("momentum_buffer",)

    def start(self):
        self.momentum_buffer = self.full(0.0)

    def update(self, g):
        p_norm, g_norm = norm(self.p), norm(g)
        local = 1.0
        if p_norm != 0 and g_norm != 0:
            local = self.trust_coefficient * p_norm / (g_norm + self.weight_decay * p_norm + self.eps)
        for i, g_i in enumerate(g):
            decayed = g_i + self.weight_decay * self.p[i]
            self.momentum_buffer[i] = self.momentum * self.momentum_buffer[i] + self.lr * local * decayed
            self.p[i] = self.p[i] - self.momentum_buffer[i]
