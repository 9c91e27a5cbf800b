"""Muon."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from minigrad.checks import FINITE, NONNEGATIVE, flag, one_of, tuple_of, whole
from minigrad.cublas import matmul
from optim.elementwise import Binding, ElementwiseOptimizer
from optim.formula import Scalar, Stages, formula, lerp
from optim.lars import norm
from optim.optimizer import Options
from optim.scratch import Shape


@formula
def muon_direction(b, g, d, *, momentum, nesterov):
    b = lerp(b, g, 1 - momentum)
    if nesterov:
        d = lerp(g, b, momentum)
    else:
        d = b
    return b, d


@formula
def muon(p, o, kappa: Scalar, *, lr, weight_decay):
    p = (1 - lr * weight_decay) * p - lr * kappa * o
    return p


class Muon(ElementwiseOptimizer):
    """Muon: P ← (1 - lr·λ)·P - lr'·O, where O is nearly the orthogonal matrix next to the momentum.

    B ← μ·B + (1 - μ)·G. With Nesterov's momentum D = (1 - μ)·G + μ·B, without it D = B. O is D/max(‖D‖, ε), by
    Frobenius' norm, after k Newton-Schulz steps X ← a·X + (b·A + c·A²)·X, A = XXᵀ, which bring all singular values near
    1. lr' is lr·√max(1, rows/columns), or 0.2·lr·√max(rows, columns): κ·lr in the formula.

    Only for matrices, as the weights of hidden layers are; let another optimizer have the rest.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        weight_decay: λ ≥ 0, with lr, not lr'. Default 0.1.
        momentum: μ ≥ 0. Default 0.95.
        nesterov: Nesterov's momentum. Default True.
        ns_coefficients: (a, b, c), each any finite number. Default (3.4445, -4.775, 2.0315).
        eps: ε ≥ 0, the least Frobenius norm that D is divided by. Default 1e-7.
        ns_steps: k, a whole number from 0 to 99. Default 5.
        adjust_lr_fn: what lr' is: "original", the first; "match_rms_adamw", the second, which suits an lr and a decay
            that were found for AdamW. None is "original". Default None.

    State, of each parameter; arrays of its shape and dtype:
        momentum_buffer: B.

    Raises TypeError for settings of a wrong type, ValueError for those out of range and for parameters that are not
    matrices, RuntimeError in a step for complex ones.

    Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); Liu et al., "Muon is
    Scalable for LLM Training" (2025), equation 4 for "match_rms_adamw". As in torch, B is a running mean, where the
    source has μ·B + G: O is the same up to rounding. Unlike torch, which takes the Newton-Schulz steps in bfloat16, the
    steps are in the parameter's own type: the two differ by a few hundredths of a step's length.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([[1.0, -2.0], [3.0, 0.5]], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Muon([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [[0.91112, -1.827515], [2.734679, 0.457538]]
    """

    formula = Stages(("b",), muon_direction, muon)
    state_keys = {"b": "momentum_buffer"}
    reduces = True
    between_latex = (
        r"o = \operatorname{NewtonSchulz}\left(\frac{d}{\max(\|d\|_F, \epsilon)}\right), \quad "
        r"\kappa = \sqrt{\max(1, \mathit{rows} / \mathit{columns})}"
    )
    read = ("ns_coefficients", "ns_steps", "eps", "adjust_lr_fn")
    takes_complex = False
    ranges = {
        "lr": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "momentum": NONNEGATIVE,
        "nesterov": flag,
        "ns_coefficients": tuple_of(FINITE, FINITE, FINITE),
        "eps": NONNEGATIVE,
        "ns_steps": whole(0, 99),
        "adjust_lr_fn": one_of(None, "original", "match_rms_adamw"),
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "nesterov": nesterov,
                "ns_coefficients": ns_coefficients,
                "eps": eps,
                "ns_steps": ns_steps,
                "adjust_lr_fn": adjust_lr_fn,
            },
            **options,
        )

    def validate(self, group: dict[str, Any]) -> None:
        """Check ranges, and that all parameters are matrices."""
        super().validate(group)
        for p in group["params"]:
            if p.ndim != 2:
                raise ValueError(f"Muon: expected parameters with two axes, got one of shape {p.shape}")

    def scratch_shapes(self, shape: Shape) -> list[Shape]:
        """Of D and of a product with it, of A and A², and of κ."""
        low = min(shape)
        return [shape, shape, (low, low), (low, low), (1,)]

    @np.errstate(all="ignore")
    def update(self, binding: Binding, g: Any, constants: Any, settings: dict[str, Any]) -> None:
        """D; O, whose norm and products are array code; then the step."""
        if not g.size:
            return
        b, d, product, gram, square, kappa = binding.flats
        kappa[...] = _ratio(settings["adjust_lr_fn"], *binding.shape)
        binding.run(muon_direction, constants, b, g, d.ravel())
        np.divide(d, np.maximum(norm(d.ravel()), settings["eps"]), out=d)
        for _ in range(settings["ns_steps"]):
            _newton_schulz(d, settings["ns_coefficients"], gram, square, out=product)
            d, product = product, d
        binding.run(muon, constants, binding.flat, d.ravel(), kappa)


def _ratio(adjustment: str | None, rows: int, columns: int) -> float:
    """What lr is multiplied by for a matrix of this shape."""
    if adjustment == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


LARGE = 512
"""From how many rows on what NumPy does for an array times its own transpose, half of the work, takes less time."""


def _newton_schulz(x: Any, coefficients: tuple[Any, ...], gram: Any, square: Any, out: Any) -> None:
    """(a + b·A + c·A²)·X with A = XXᵀ; where X is taller than wide, X·(a + b·A + c·A²) with A = XᵀX."""
    a, b, c = coefficients
    tall, large = x.shape[0] > x.shape[1], len(gram) >= LARGE
    if not large:
        out[...] = x
    turned = x.T if large else out.T
    matmul(*((turned, x) if tall else (x, turned)), out=gram)
    matmul(gram, gram.T if large else gram, out=square)
    np.multiply(gram, b, out=gram)
    np.multiply(square, c, out=square)
    np.add(gram, square, out=square)
    diagonal = square.ravel()[:: len(square) + 1]
    np.add(diagonal, a, out=diagonal)
    matmul(*((x, square) if tall else (square, x)), out=out)
