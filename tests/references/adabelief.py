"""AdaBelief."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, maximum, sqrt


class AdaBelief(Reference):
    """m = β1·m + (1 − β1)g; s = β2·s + (1 − β2)(g − m)² + ε; p = p − lr·m̂/(√ŝ + ε), m̂ and ŝ as Adam's.

    Zhuang et al. 2020, Algorithm 2: ε is added to s at every step and stays in it. ε = 1e-16, decay decoupled by
    default, and AMSGrad's maximum of the uncorrected s, as the authors' adabelief-pytorch has them; its rectification
    (RAdam's) is not part of the algorithm.
    """

    defaults: ClassVar = {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-16,
        "weight_decay": 0.0,
        "amsgrad": False,
        "decoupled_weight_decay": True,
        "maximize": False,
    }

    @property
    def state_keys(self):
        keys = ("step", "exp_avg", "exp_avg_var")
        return (*keys, "max_exp_avg_var") if self.amsgrad else keys

    def start(self):
        self.exp_avg, self.exp_avg_var, self.max_exp_avg_var = self.full(0.0), self.full(0.0), self.full(0.0)

    def update(self, g):
        beta1, beta2 = self.betas
        for i, g_i in enumerate(g):
            if self.weight_decay != 0 and self.decoupled_weight_decay:
                self.p[i] = self.p[i] * (1 - self.lr * self.weight_decay)
            elif self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            self.exp_avg[i] = beta1 * self.exp_avg[i] + (1 - beta1) * g_i
            surprise = g_i - self.exp_avg[i]
            self.exp_avg_var[i] = beta2 * self.exp_avg_var[i] + (1 - beta2) * surprise * surprise + self.eps
            self.max_exp_avg_var[i] = maximum(self.max_exp_avg_var[i], self.exp_avg_var[i])
            s = self.max_exp_avg_var[i] if self.amsgrad else self.exp_avg_var[i]
            m_hat = self.exp_avg[i] / (1 - beta1**self.t)
            s_hat = s / (1 - beta2**self.t)
            self.p[i] = self.p[i] - divide(self.lr * m_hat, sqrt(s_hat) + self.eps)
