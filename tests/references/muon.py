"""Muon."""

from __future__ import annotations

import math
from typing import ClassVar

from .base import Reference, divide, maximum, norm, total


def matmul(a, b):
    """The product of two matrices given as lists of rows."""
    return [[total(x * y for x, y in zip(row, column, strict=True)) for column in zip(*b, strict=True)] for row in a]


def transpose(a):
    return [list(row) for row in zip(*a, strict=True)]


def combine(x, a, y, b):
    """x·a + y·b for two scalars x, y and two matrices."""
    return [[x * s + y * t for s, t in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)]


def newton_schulz(x, coefficients, steps, eps):
    """X = aX + (bA + cA²)X with A = XXᵀ, from X/max(‖X‖, ε), of the wide one of X and Xᵀ."""
    a, b, c = coefficients
    tall = len(x) > len(x[0])
    x = transpose(x) if tall else x
    scale = maximum(norm([entry for row in x for entry in row]), eps)
    x = [[divide(entry, scale) for entry in row] for row in x]
    for _ in range(steps):
        gram = matmul(x, transpose(x))
        x = combine(a, x, 1.0, matmul(combine(b, gram, c, matmul(gram, gram)), x))
    return transpose(x) if tall else x


class Muon(Reference):
    """B = μB + (1 − μ)G; O = NewtonSchulz((1 − μ)G + μB), without Nesterov of B; P = P(1 − lr·λ) − lr'·O.

    lr' = lr·√max(1, rows/columns) ("original"), or 0.2·lr·√max(rows, columns) ("match_rms_adamw").
    Jordan et al. 2024, "Muon: An optimizer for hidden layers", as torch.optim.Muon does it but for its bfloat16: the
    iteration is in float64 here.
    """

    defaults: ClassVar = {
        "lr": 1e-3,
        "weight_decay": 0.1,
        "momentum": 0.95,
        "nesterov": True,
        "ns_coefficients": (3.4445, -4.775, 2.0315),
        "eps": 1e-7,
        "ns_steps": 5,
        "adjust_lr_fn": None,
    }
    state_keys = ("momentum_buffer",)

    def start(self):
        self.momentum_buffer = self.full(0.0)

    def update(self, g):
        mu = self.momentum
        for i, g_i in enumerate(g):
            self.momentum_buffer[i] = mu * self.momentum_buffer[i] + (1 - mu) * g_i
        direction = self.momentum_buffer
        if self.nesterov:
            direction = [(1 - mu) * g_i + mu * b_i for g_i, b_i in zip(g, self.momentum_buffer, strict=True)]

        rows, columns = self.shape
        matrix = [direction[i * columns : (i + 1) * columns] for i in range(rows)]
        matrix = newton_schulz(matrix, self.ns_coefficients, self.ns_steps, self.eps)
        for i, o_i in enumerate(entry for row in matrix for entry in row):
            self.p[i] = self.p[i] * (1 - self.lr * self.weight_decay) - self.adjusted_lr(rows, columns) * o_i

    def adjusted_lr(self, rows, columns):
        if self.adjust_lr_fn == "match_rms_adamw":
            return self.lr * 0.2 * math.sqrt(max(rows, columns))
        return self.lr * math.sqrt(max(1, rows / columns))
