"""Prodigy."""

from __future__ import annotations

import math
from typing import ClassVar

from .base import Reference, divide, sqrt, total


class Prodigy(Reference):
    """Adam on d·g with step size lr·d, where d grows to an estimate of the distance to the solution.

    m = β1·m + (1 − β1)d·g; v = β2·v + (1 − β2)d²g²; p = p − lr·d·m/(√v + d·ε), then d = max(d, d̂) with
    r = β3·r + (1 − β3)lr·d²⟨g, p0 − p⟩; s = β3·s + (1 − β3)lr·d²·g; d̂ = d_coef·r/‖s‖₁; β3 = √β2 unless given.
    Mishchenko and Defazio 2023, Algorithm 4. All steps use the d from before. p is the whole of what shares one d:
    concatenate the parameters of a group.

    d_coef, growth_rate (how fast d may grow by step), safeguard_warmup (s without lr) and use_bias_correction (lr
    times √(1 − β2ᵗ)/(1 − β1ᵗ), wherever it stands) are of the authors' code, which scales r and s by a common factor
    and has the new d beside ε. Weight decay is AdamW's with the step size lr·d, or added to g.
    """

    defaults: ClassVar = {
        "lr": 1.0,
        "betas": (0.9, 0.999),
        "beta3": None,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "decoupled_weight_decay": True,
        "use_bias_correction": False,
        "safeguard_warmup": False,
        "d0": 1e-6,
        "d_coef": 1.0,
        "growth_rate": math.inf,
        "maximize": False,
    }
    state_keys = ("step", "exp_avg", "exp_avg_sq", "s", "p0")

    def start(self):
        self.exp_avg, self.exp_avg_sq, self.s = self.full(0.0), self.full(0.0), self.full(0.0)
        self.p0 = list(self.p)
        self.d = self.d_max = self.d0
        self.r = 0.0

    def update(self, g):
        beta1, beta2 = self.betas
        d = self.d
        lr = self.lr
        if self.use_bias_correction:
            lr = lr * math.sqrt(1 - beta2**self.t) / (1 - beta1**self.t)
        if self.weight_decay != 0 and not self.decoupled_weight_decay:
            g = [g_i + self.weight_decay * p_i for g_i, p_i in zip(g, self.p, strict=True)]

        next_d = self.estimate(g, lr)
        for i, g_i in enumerate(g):
            p = self.p[i]
            if self.weight_decay != 0 and self.decoupled_weight_decay:
                p = p - lr * d * self.weight_decay * p
            self.exp_avg[i] = beta1 * self.exp_avg[i] + (1 - beta1) * d * g_i
            self.exp_avg_sq[i] = beta2 * self.exp_avg_sq[i] + (1 - beta2) * d * d * g_i * g_i
            self.p[i] = p - lr * d * divide(self.exp_avg[i], sqrt(self.exp_avg_sq[i]) + d * self.eps)
        self.d = next_d

    def estimate(self, g, lr):
        """The d of the next step."""
        d = self.d
        beta3 = math.sqrt(self.betas[1]) if self.beta3 is None else self.beta3
        travelled = total(g_i * (p0 - p) for g_i, p0, p in zip(g, self.p0, self.p, strict=True))
        self.r = beta3 * self.r + (1 - beta3) * lr * d * d * travelled
        weight = d * d if self.safeguard_warmup else lr * d * d
        for i, g_i in enumerate(g):
            self.s[i] = beta3 * self.s[i] + (1 - beta3) * weight * g_i
        size = total(abs(s_i) for s_i in self.s)
        if size == 0:
            return d
        d_hat = self.d_coef * self.r / size
        if d == self.d0:
            d = max(d, d_hat)
        self.d_max = max(self.d_max, d_hat)
        return min(self.d_max, d * self.growth_rate)
