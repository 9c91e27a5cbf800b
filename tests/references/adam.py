"""Adam."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, maximum, sqrt


class Adam(Reference):
    """m = β1·m + (1 − β1)g; v = β2·v + (1 − β2)g²; p = p − lr·m̂/(√v̂ + ε), m̂ = m/(1 − β1ᵗ), v̂ = v/(1 − β2ᵗ).

    Kingma and Ba 2015, Algorithm 1. AMSGrad as torch has it: the maximum is of the uncorrected v (Reddi et al. 2018,
    Algorithm 2, which has no correction at all).
    """

    defaults: ClassVar = {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "amsgrad": False,
        "maximize": False,
        "decoupled_weight_decay": False,
    }

    @property
    def state_keys(self):
        keys = ("step", "exp_avg", "exp_avg_sq")
        return (*keys, "max_exp_avg_sq") if self.amsgrad else keys

    def start(self):
        self.exp_avg, self.exp_avg_sq, self.max_exp_avg_sq = self.full(0.0), self.full(0.0), self.full(0.0)

    def update(self, g):
        for i, g_i in enumerate(g):
            self.update_element(i, g_i)

    def update_element(self, i, g):
        p, m, v = self.p[i], self.exp_avg[i], self.exp_avg_sq[i]
        beta1, beta2 = self.betas
        if self.weight_decay != 0 and self.decoupled_weight_decay:
            p = p * (1 - self.lr * self.weight_decay)
        elif self.weight_decay != 0:
            g = g + self.weight_decay * p

        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = v
        if self.amsgrad:
            largest = self.max_exp_avg_sq[i] = maximum(self.max_exp_avg_sq[i], v)
        m_hat = m / (1 - beta1**self.t)
        v_hat = largest / (1 - beta2**self.t)
        p = p - divide(self.lr * m_hat, sqrt(v_hat) + self.eps)
        self.p[i], self.exp_avg[i], self.exp_avg_sq[i] = p, m, v
