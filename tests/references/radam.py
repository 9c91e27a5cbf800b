"""RAdam."""

from __future__ import annotations

import math
from typing import ClassVar

from .base import Reference, divide, lerp, sqrt


class RAdam(Reference):
    """p = p − lr·m̂·r·√(1 − β2ᵗ)/(√v + ε) where ρ_t > 5, else p = p − lr·m̂.

    ρ∞ = 2/(1 − β2) − 1; ρ_t = ρ∞ − 2t·β2ᵗ/(1 − β2ᵗ); r = √[(ρ_t − 4)(ρ_t − 2)ρ∞/((ρ∞ − 4)(ρ∞ − 2)ρ_t)].
    Liu et al. 2020, Algorithm 2, with torch's threshold 5 where the paper has 4.
    """

    defaults: ClassVar = {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "decoupled_weight_decay": False,
        "maximize": False,
    }
    state_keys = ("step", "exp_avg", "exp_avg_sq")

    def start(self):
        self.exp_avg, self.exp_avg_sq = self.full(0.0), self.full(0.0)

    def update(self, g):
        beta1, beta2 = self.betas
        t = self.t
        rho_inf = 2 / (1 - beta2) - 1
        rho_t = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
        rectified = rho_t > 5
        if rectified:
            r = math.sqrt((rho_t - 4) * (rho_t - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho_t))
        for i, g_i in enumerate(g):
            if self.weight_decay != 0 and self.decoupled_weight_decay:
                self.p[i] = self.p[i] * (1 - self.lr * self.weight_decay)
            elif self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            self.exp_avg[i] = lerp(self.exp_avg[i], g_i, 1 - beta1)
            self.exp_avg_sq[i] = beta2 * self.exp_avg_sq[i] + (1 - beta2) * g_i * g_i
            m_hat = self.exp_avg[i] / (1 - beta1**t)
            adaptive = 1.0
            if rectified:
                adaptive = r * divide(math.sqrt(1 - beta2**t), sqrt(self.exp_avg_sq[i]) + self.eps)
            self.p[i] = self.p[i] - self.lr * m_hat * adaptive
