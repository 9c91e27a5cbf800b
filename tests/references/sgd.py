"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference


class SGD(Reference):
    """b = μb + (1 − τ)g; p = p − lr·b, with Nesterov p = p − lr·(g + μb).

    torch.optim.SGD's documented algorithm (Sutskever et al. 2013, section 2, with lr outside the velocity). The first
    buffer is g itself: dampening τ begins with the second step.
    """

    defaults: ClassVar = {
        "lr": 1e-3,
        "momentum": 0.0,
        "dampening": 0.0,
        "weight_decay": 0.0,
        "nesterov": False,
        "maximize": False,
    }

    @property
    def state_keys(self):
        return ("momentum_buffer",) if self.momentum != 0 else ()

    def start(self):
        self.momentum_buffer = None

    def update(self, g):
        if self.weight_decay != 0:
            g = [g_i + self.weight_decay * p_i for g_i, p_i in zip(g, self.p, strict=True)]
        if self.momentum != 0:
            g = self.velocity(g)
        for i, g_i in enumerate(g):
            self.p[i] = self.p[i] - self.lr * g_i

    def velocity(self, g):
        """The direction after the buffer has taken in g."""
        if self.momentum_buffer is None:
            self.momentum_buffer = list(g)
        else:
            for i, g_i in enumerate(g):
                self.momentum_buffer[i] = self.momentum * self.momentum_buffer[i] + (1 - self.dampening) * g_i
        if self.nesterov:
            return [g_i + self.momentum * b_i for g_i, b_i in zip(g, self.momentum_buffer, strict=True)]
        return self.momentum_buffer
