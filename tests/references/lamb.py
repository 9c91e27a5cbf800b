"""LAMB."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, norm, sqrt


class LAMB(Reference):
    """r = m̂/(√v̂ + ε), Adam's; u = r + λp; p = p − lr·‖p‖/‖u‖·u.

    You et al. 2020, Algorithm 2 with φ(z) = z. The ratio is 1 where either norm is 0 (the paper does not say; so in
    the authors' code).
    """

    defaults: ClassVar = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.0, "maximize": False}
    state_keys = ("step", "exp_avg", "exp_avg_sq")

    def start(self):
        self.exp_avg, self.exp_avg_sq = self.full(0.0), self.full(0.0)

    def update(self, g):
        beta1, beta2 = self.betas
        u = []
        for i, g_i in enumerate(g):
            self.exp_avg[i] = beta1 * self.exp_avg[i] + (1 - beta1) * g_i
            self.exp_avg_sq[i] = beta2 * self.exp_avg_sq[i] + (1 - beta2) * g_i * g_i
            m_hat = self.exp_avg[i] / (1 - beta1**self.t)
            v_hat = self.exp_avg_sq[i] / (1 - beta2**self.t)
            u.append(divide(m_hat, sqrt(v_hat) + self.eps) + self.weight_decay * self.p[i])
        ratio = self.trust_ratio(norm(self.p), norm(u))
        for i, u_i in enumerate(u):
            self.p[i] = self.p[i] - self.lr * ratio * u_i

    def trust_ratio(self, p_norm, u_norm):
        return p_norm / u_norm if p_norm != 0 and u_norm != 0 else 1.0
