"""Yogi."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, sign, sqrt


class Yogi(Reference):
    """m = β1·m + (1 − β1)g; v = v − (1 − β2)·sign(v − g²)·g²; p = p − lr·m/(√v + ε).

    Zaheer et al. 2018, Algorithm 2, which has no bias correction. ε = 1e-3 and the start of v at 1e-6 are the ones of
    its experiments; `bias_correction` divides m by 1 − β1ᵗ and v by 1 − β2ᵗ, as optax and TensorFlow Addons do
    (Addons leaves ε uncorrected).
    """

    defaults: ClassVar = {
        "lr": 1e-2,
        "betas": (0.9, 0.999),
        "eps": 1e-3,
        "initial_accumulator_value": 1e-6,
        "weight_decay": 0.0,
        "bias_correction": False,
        "maximize": False,
    }
    state_keys = ("step", "exp_avg", "exp_avg_sq")

    def start(self):
        self.exp_avg, self.exp_avg_sq = self.full(0.0), self.full(float(self.initial_accumulator_value))

    def update(self, g):
        beta1, beta2 = self.betas
        correction1, correction2 = (1 - beta1**self.t, 1 - beta2**self.t) if self.bias_correction else (1.0, 1.0)
        for i, g_i in enumerate(g):
            if self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            square = g_i * g_i
            self.exp_avg[i] = beta1 * self.exp_avg[i] + (1 - beta1) * g_i
            v = self.exp_avg_sq[i]
            self.exp_avg_sq[i] = v - (1 - beta2) * sign(v - square) * square
            m_hat, v_hat = self.exp_avg[i] / correction1, self.exp_avg_sq[i] / correction2
            self.p[i] = self.p[i] - divide(self.lr * m_hat, sqrt(v_hat) + self.eps)
