"""AdamW."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, maximum, sqrt


class AdamW(Reference):
    """p = p(1 − lr·λ), then Adam's step with the plain gradient.

    Loshchilov and Hutter 2019, Algorithm 2, with torch's decay lr·λ where the paper has η·λ (η the schedule alone).
    """

    defaults: ClassVar = {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 1e-2,
        "amsgrad": False,
        "maximize": False,
    }

    @property
    def state_keys(self):
        keys = ("step", "exp_avg", "exp_avg_sq")
        return (*keys, "max_exp_avg_sq") if self.amsgrad else keys

    def start(self):
        self.exp_avg, self.exp_avg_sq, self.max_exp_avg_sq = self.full(0.0), self.full(0.0), self.full(0.0)

    def update(self, g):
        beta1, beta2 = self.betas
        for i, g_i in enumerate(g):
            self.p[i] = self.p[i] - self.lr * self.weight_decay * self.p[i]
            self.exp_avg[i] = beta1 * self.exp_avg[i] + (1 - beta1) * g_i
            self.exp_avg_sq[i] = beta2 * self.exp_avg_sq[i] + (1 - beta2) * g_i * g_i
            self.max_exp_avg_sq[i] = maximum(self.max_exp_avg_sq[i], self.exp_avg_sq[i])
            v = self.max_exp_avg_sq[i] if self.amsgrad else self.exp_avg_sq[i]
            m_hat = self.exp_avg[i] / (1 - beta1**self.t)
            v_hat = v / (1 - beta2**self.t)
            self.p[i] = self.p[i] - divide(self.lr * m_hat, sqrt(v_hat) + self.eps)
