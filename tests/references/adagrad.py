"""Adagrad."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, divide, sqrt


class Adagrad(Reference):
    """G = G + g²; p = p − lr/(1 + (t − 1)η)·g/(√G + ε), η the lr_decay.

    Duchi, Hazan and Singer 2011, Figure 1 (diagonal), as torch.optim.Adagrad documents it.
    """

    defaults: ClassVar = {
        "lr": 1e-2,
        "lr_decay": 0.0,
        "weight_decay": 0.0,
        "initial_accumulator_value": 0.0,
        "eps": 1e-10,
        "maximize": False,
    }
    state_keys = ("step", "sum")

    def start(self):
        self.sum = self.full(float(self.initial_accumulator_value))

    def update(self, g):
        lr_t = self.lr / (1 + (self.t - 1) * self.lr_decay)
        for i, g_i in enumerate(g):
            if self.weight_decay != 0:
                g_i = g_i + self.weight_decay * self.p[i]
            self.sum[i] = self.sum[i] + g_i * g_i
            self.p[i] = self.p[i] - divide(lr_t * g_i, sqrt(self.sum[i]) + self.eps)
