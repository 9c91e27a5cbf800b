"""Adam with ε̂: TensorFlow's and Keras' placement of ε."""

from __future__ import annotations

import math
from typing import ClassVar

from .base import Reference, divide, maximum, sqrt


class AdamEpsilonHat(Reference):
    """p = p − lr_t·m/(√v + ε̂), lr_t = lr·√(1 − β2ᵗ)/(1 − β1ᵗ).

    Kingma and Ba 2015, the last remark of section 2 ("less clear but more efficient"). It is Algorithm 1 with
    ε = ε̂/√(1 − β2ᵗ), an ε that shrinks with the steps. Keras has ε̂ = 1e-7; torch's default is kept here.
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
        beta1, beta2 = self.betas
        lr_t = self.lr * math.sqrt(1 - beta2**self.t) / (1 - beta1**self.t)
        for i, g_i in enumerate(g):
            if self.weight_decay != 0 and self.decoupled_weight_decay:
                self.p[i] = self.p[i] * (1 - self.lr * self.weight_decay)
            elif self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            self.exp_avg[i] = beta1 * self.exp_avg[i] + (1 - beta1) * g_i
            self.exp_avg_sq[i] = beta2 * self.exp_avg_sq[i] + (1 - beta2) * g_i * g_i
            self.max_exp_avg_sq[i] = maximum(self.max_exp_avg_sq[i], self.exp_avg_sq[i])
            v = self.max_exp_avg_sq[i] if self.amsgrad else self.exp_avg_sq[i]
            self.p[i] = self.p[i] - divide(lr_t * self.exp_avg[i], sqrt(v) + self.eps)
