"""Rprop."""

from __future__ import annotations

from typing import ClassVar

from .base import Reference, maximum, sign


class Rprop(Reference):
    """s = s·η⁺ where g agrees in sign with the last one, s·η⁻ where it does not; p = p − s·sign(g).

    iRprop⁻ (Igel and Hüsken 2000, Table 4): where the sign flips, g = 0 is used and remembered. lr is the step size of
    the start and nothing else.
    """

    defaults: ClassVar = {"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0), "maximize": False}
    state_keys = ("step", "prev", "step_size")

    def start(self):
        self.prev, self.step_size = self.full(0.0), None

    def update(self, g):
        if self.step_size is None:
            self.step_size = self.full(float(self.lr))
        smallest, largest = self.step_sizes
        for i, g_i in enumerate(g):
            agreement = sign(g_i * self.prev[i])
            factor = {1.0: self.etas[1], 0.0: 1.0, -1.0: self.etas[0]}[agreement]
            self.step_size[i] = min(maximum(self.step_size[i] * factor, smallest), largest)
            if agreement < 0:
                g_i = 0.0
            self.p[i] = self.p[i] - sign(g_i) * self.step_size[i]
            self.prev[i] = g_i
