"""AdaHessian."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, sqrt


class AdaHessian(Reference):
    """m = β₁m + (1−β₁)g; v = β₂v + (1−β₂)h²; p = p − lr·(m̂/((√v̂)ᵏ + ε) + λp).

    Yao et al. 2021, Algorithm 1, with the weight decay and the k of the authors' code. h is the estimate of the
    Hessian's diagonal, which `step` takes beside the gradient.
    """

    defaults: ClassVar = {
        "lr": 0.15, "betas": (0.9, 0.999), "eps": 1e-4, "weight_decay": 0.0, "hessian_power": 1.0, "seed": 0,
        "maximize": False,
    }  # fmt: skip
    state_keys = ("step", "exp_avg", "exp_hessian_diag_sq")

    def start(self):
        self.exp_avg, self.exp_hessian_diag_sq = self.full(0.0), self.full(0.0)

    def step(self, g, h=None):
        self.h = h
        super().step(g)

    def update(self, g):
        beta1, beta2 = self.betas
        for i, (g_i, h_i) in enumerate(zip(g, self.h, strict=True)):
            self.exp_avg[i] = beta1 * self.exp_avg[i] + (1 - beta1) * g_i
            self.exp_hessian_diag_sq[i] = beta2 * self.exp_hessian_diag_sq[i] + (1 - beta2) * h_i * h_i
            m_hat = self.exp_avg[i] / (1 - beta1**self.t)
            root = sqrt(self.exp_hessian_diag_sq[i] / (1 - beta2**self.t))
            step = divide(m_hat, root**self.hessian_power + self.eps) + self.weight_decay * self.p[i]
            self.p[i] = self.p[i] - self.lr * step
