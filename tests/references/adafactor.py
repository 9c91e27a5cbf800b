"""Adafactor."""

from __future__ import annotations

import math
from typing import ClassVar

from .base import Reference, divide, lerp, maximum, norm, sqrt, total


class Adafactor(Reference):
    """R and C average the squares of g over rows and columns; V = R·C/mean(R); U = g/√V; p = p − α·U/max(1, RMS(U)/d).

    1 − β̂2 = t^τ (τ the beta2_decay); α = max(ε2, RMS(p))·min(lr, 1/√t), of p before its decay p(1 − lr·λ).
    A vector has V itself. ε1 bounds mean(R) from below, ε1² bounds V; None is the spacing of float64 at 1.
    torch.optim.Adafactor; Shazeer and Stern 2018, Algorithms 4 and 5 (which add ε1 to g² and have no lr).
    More than two dimensions are a batch of matrices over the last two.
    """

    defaults: ClassVar = {
        "lr": 1e-2,
        "beta2_decay": -0.8,
        "eps": (None, 1e-3),
        "d": 1.0,
        "weight_decay": 0.0,
        "maximize": False,
    }

    @property
    def state_keys(self):
        return ("step", "row_var", "col_var") if len(self.shape) > 1 else ("step", "variance")

    def start(self):
        if len(self.shape) > 1:
            batch, rows, columns = self.matrices
            self.row_var, self.col_var = [0.0] * (batch * rows), [0.0] * (batch * columns)
        else:
            self.variance = self.full(0.0)

    @property
    def matrices(self):
        """Number of matrices, rows and columns of each."""
        return math.prod(self.shape[:-2]), *self.shape[-2:]

    def update(self, g):
        eps1, eps2 = self.eps
        eps1 = math.ulp(1.0) if eps1 is None else eps1
        size = math.sqrt(len(self.p))
        alpha = max(eps2, norm(self.p) / size) * min(self.lr, 1 / math.sqrt(self.t))
        weight = self.t**self.beta2_decay

        estimate = self.factored(g, weight, eps1) if len(self.shape) > 1 else self.elementwise(g, weight)
        u = [divide(g_i, sqrt(maximum(v_i, eps1 * eps1))) for g_i, v_i in zip(g, estimate, strict=True)]
        clip = max(1.0, norm(u) / (size * self.d))
        for i, u_i in enumerate(u):
            self.p[i] = self.p[i] * (1 - self.lr * self.weight_decay) - alpha / clip * u_i

    def elementwise(self, g, weight):
        """V of a vector."""
        for i, g_i in enumerate(g):
            self.variance[i] = lerp(self.variance[i], g_i * g_i, weight)
        return self.variance

    def factored(self, g, weight, eps1):
        """V of every matrix from its row and column averages."""
        batch, rows, columns = self.matrices
        estimate = []
        for b in range(batch):
            matrix = [g[(b * rows + i) * columns : (b * rows + i + 1) * columns] for i in range(rows)]
            square = [[g_ij * g_ij for g_ij in row] for row in matrix]
            for i in range(rows):
                mean = total(square[i]) / columns
                self.row_var[b * rows + i] = lerp(self.row_var[b * rows + i], mean, weight)
            for j in range(columns):
                mean = total(square[i][j] for i in range(rows)) / rows
                self.col_var[b * columns + j] = lerp(self.col_var[b * columns + j], mean, weight)
            r = self.row_var[b * rows : (b + 1) * rows]
            c = self.col_var[b * columns : (b + 1) * columns]
            r_mean = maximum(total(r) / rows, eps1)
            estimate += [divide(r_i * c_j, r_mean) for r_i in r for c_j in c]
        return estimate
