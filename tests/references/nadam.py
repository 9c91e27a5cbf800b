"""NAdam."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, sqrt


class NAdam(Reference):
    """p = p − lr·[(1 − μ_t)g/(1 − Πμ_i) + μ_{t+1}·m/(1 − μ_{t+1}·Πμ_i)]/(√(v/(1 − β2ᵗ)) + ε), i to t.

    μ_t = β1(1 − ½·0.96^(t·ψ)); m and v are Adam's, with β1 and not μ_t.
    Dozat 2016, the algorithm of section 2 as torch.optim.NAdam documents it.
    """

    defaults: ClassVar = {
        "lr": 2e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum_decay": 4e-3,
        "decoupled_weight_decay": False,
        "maximize": False,
    }
    state_keys = ("step", "mu_product", "exp_avg", "exp_avg_sq")

    def start(self):
        self.exp_avg, self.exp_avg_sq, self.mu_product = self.full(0.0), self.full(0.0), 1.0

    def update(self, g):
        beta1, beta2 = self.betas
        mu = beta1 * (1 - 0.5 * 0.96 ** (self.t * self.momentum_decay))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((self.t + 1) * self.momentum_decay))
        self.mu_product = self.mu_product * mu
        for i, g_i in enumerate(g):
            if self.weight_decay != 0 and self.decoupled_weight_decay:
                self.p[i] = self.p[i] * (1 - self.lr * self.weight_decay)
            elif self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            self.exp_avg[i] = beta1 * self.exp_avg[i] + (1 - beta1) * g_i
            self.exp_avg_sq[i] = beta2 * self.exp_avg_sq[i] + (1 - beta2) * g_i * g_i
            from_gradient = (1 - mu) * g_i / (1 - self.mu_product)
            from_momentum = mu_next * self.exp_avg[i] / (1 - self.mu_product * mu_next)
            denominator = sqrt(self.exp_avg_sq[i] / (1 - beta2**self.t)) + self.eps
            self.p[i] = self.p[i] - divide(self.lr * (from_gradient + from_momentum), denominator)
