"""Adan."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, sqrt


class Adan(Reference):
    """m = β1·m + (1 − β1)g; v = β2·v + (1 − β2)Δ; n = β3·n + (1 − β3)(g + β2·Δ)², Δ = g − the last g (0 at first).

    p = [p − lr·(m̂ + β2·v̂)/(√n̂ + ε)]/(1 + lr·λ), hats as Adam's; with no_prox p(1 − lr·λ) − lr·(…).
    Xie et al. 2022, Algorithm 1, with the authors' code in three things: the betas are what is kept (the paper's are
    1 − these), buffers start at 0 and are bias-corrected (the paper's m and n start at g and g²), and no restart.
    """

    defaults: ClassVar = {
        "lr": 1e-3,
        "betas": (0.98, 0.92, 0.99),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "no_prox": False,
        "maximize": False,
    }
    state_keys = ("step", "exp_avg", "exp_avg_diff", "exp_avg_sq", "prev_grad")

    def start(self):
        self.exp_avg, self.exp_avg_diff, self.exp_avg_sq = self.full(0.0), self.full(0.0), self.full(0.0)
        self.prev_grad = None

    def update(self, g):
        beta1, beta2, beta3 = self.betas
        previous = g if self.prev_grad is None else self.prev_grad
        shrink = self.lr * self.weight_decay
        for i, g_i in enumerate(g):
            difference = g_i - previous[i]
            ahead = g_i + beta2 * difference
            self.exp_avg[i] = beta1 * self.exp_avg[i] + (1 - beta1) * g_i
            self.exp_avg_diff[i] = beta2 * self.exp_avg_diff[i] + (1 - beta2) * difference
            self.exp_avg_sq[i] = beta3 * self.exp_avg_sq[i] + (1 - beta3) * ahead * ahead
            m_hat = self.exp_avg[i] / (1 - beta1**self.t)
            v_hat = self.exp_avg_diff[i] / (1 - beta2**self.t)
            n_hat = self.exp_avg_sq[i] / (1 - beta3**self.t)
            move = divide(self.lr * (m_hat + beta2 * v_hat), sqrt(n_hat) + self.eps)
            self.p[i] = self.p[i] * (1 - shrink) - move if self.no_prox else (self.p[i] - move) / (1 + shrink)
        self.prev_grad = list(g)
