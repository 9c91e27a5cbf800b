"""Nesterov's accelerated gradient in its original form."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference


class Nesterov(Reference):
    """v = μv − lr·∇f(p + μv); p = p + v.

    Sutskever, Martens, Dahl and Hinton 2013, equations 3 and 4 (Nesterov 1983). The gradient that `step` takes is the
    one at `look_ahead`, which is also where weight decay is taken. With a constant lr the look-ahead points are the
    path of SGD(nesterov=True).
    """

    defaults: ClassVar = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.0, "maximize": False}
    state_keys = ("velocity",)

    def start(self):
        self.velocity = self.full(0.0)

    @property
    def look_ahead(self):
        """Where the next gradient has to be taken: p + μv."""
        return [p_i + self.momentum * v_i for p_i, v_i in zip(self.p, self.velocity, strict=True)]

    def update(self, g):
        ahead = self.look_ahead
        for i, g_i in enumerate(g):
            if self.weight_decay != 0:
                g_i = g_i + self.weight_decay * ahead[i]
            self.velocity[i] = self.momentum * self.velocity[i] - self.lr * g_i
            self.p[i] = self.p[i] + self.velocity[i]
