"""Muon."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Unpack

import numpy as np

from optim.arraywise import ArraywiseOptimizer, Shape, Weight, lerp
from optim.hyperparameters import FINITE, NONNEGATIVE, flag, one_of, tuple_of, whole
from optim.optimizer import Options


class _Numbers(NamedTuple):
    lr_adjusted: Any
    kept: Any  # 1 - lr·λ
    weight: Weight  # 1 - μ
    ahead: Weight | None  # μ, where the momentum is Nesterov's
    coefficients: tuple[Any, ...]
    steps: int
    eps: Any


class Muon(ArraywiseOptimizer):
    """Muon: P ← (1 - lr·λ)·P - lr'·O, where O is nearly the orthogonal matrix next to the momentum.

    B ← μ·B + (1 - μ)·G. With Nesterov's momentum D = (1 - μ)·G + μ·B, without it D = B. O is D/max(‖D‖, ε) after k
    Newton-Schulz steps X ← a·X + (b·A + c·A²)·X, A = XXᵀ, which bring all singular values near 1. lr' is lr·√max(1,
    rows/columns), or 0.2·lr·√max(rows, columns).

    Only for matrices, as the weights of hidden layers are; let another optimizer have the rest.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        weight_decay: λ ≥ 0, with lr, not lr'. Default 0.1.
        momentum: μ ≥ 0. Default 0.95.
        nesterov: Nesterov's momentum. Default True.
        ns_coefficients: (a, b, c), each any finite number. Default (3.4445, -4.775, 2.0315).
        eps: ε ≥ 0, the least norm that D is divided by. Default 1e-7.
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

    def state_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Of B."""
        return {"momentum_buffer": shape}

    def scratch_shapes(self, shape: Shape) -> list[Shape]:
        """Of X, lying on its long side, of A, and of a product with each."""
        low, high = sorted(shape)
        return [(low, high), (low, high), (low, low), (low, low)]

    def computed(self, settings: dict[str, Any], t: int, shape: Shape) -> _Numbers:
        """Those of a matrix of this shape."""
        lr, mu = settings["lr"], settings["momentum"]
        return _Numbers(
            float(lr * _ratio(settings["adjust_lr_fn"], *shape)),
            float(1 - lr * settings["weight_decay"]),
            Weight.of(1 - mu),
            Weight.of(mu) if settings["nesterov"] else None,
            tuple(map(float, settings["ns_coefficients"])),
            settings["ns_steps"],
            float(settings["eps"]),
        )

    def update(self, p: Any, g: Any, state: dict[str, Any], numbers: _Numbers, scratch: list[Any]) -> None:
        """P ← (1 - lr·λ)·P - lr'·O."""
        p, g, buffer = (_wide(array) for array in (p, g, state["momentum_buffer"]))
        x, product = scratch[:2]
        lerp(buffer, g, numbers.weight, product)
        if numbers.ahead is not None:
            x[...] = g
            lerp(x, buffer, numbers.ahead, product)
        else:
            x[...] = buffer
        np.divide(x, np.maximum(np.sqrt(np.sum(np.square(x, out=product))), numbers.eps), out=x)
        _newton_schulz(numbers.coefficients, numbers.steps, *scratch)
        np.multiply(x, numbers.lr_adjusted, out=x)
        np.multiply(p, numbers.kept, out=p)
        np.subtract(p, x, out=p)


def _wide(matrix: Any) -> Any:
    """A matrix or its transpose, whichever is no taller than wide."""
    rows, columns = matrix.shape
    return matrix.T if rows > columns else matrix


def _ratio(adjustment: str | None, rows: int, columns: int) -> float:
    """What lr is multiplied by for a matrix of this shape."""
    if adjustment == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


def _newton_schulz(coefficients: tuple[Any, ...], steps: int, x: Any, product: Any, gram: Any, square: Any) -> None:
    """X ← a·X + (b·A + c·A²)·X with A = XXᵀ, so many times, in place."""
    a, b, c = coefficients
    for _ in range(steps):
        np.matmul(x, x.T, out=gram)
        np.matmul(gram, gram, out=square)
        np.multiply(gram, b, out=gram)
        np.multiply(square, c, out=square)
        np.add(gram, square, out=gram)
        np.matmul(gram, x, out=product)
        np.multiply(x, a, out=x)
        np.add(x, product, out=x)
