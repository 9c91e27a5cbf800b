"""Nesterov's accelerated gradient, in its original form."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from minigrad import Tensor, backend
from minigrad.checks import NONNEGATIVE, flag
from minigrad.tape import Write
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula
from optim.interrupt import uninterrupted
from optim.optimizer import Closure, Options


@formula
def nesterov(p, g, v, *, lr, momentum, weight_decay, maximize):
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * (p + momentum * v)
    v = momentum * v - lr * g
    p = p + v
    return p, v


class Nesterov(ElementwiseOptimizer):
    """Nesterov's accelerated gradient: v ← μ·v - lr·∇f(p + μ·v), p ← p + v.

    The gradient is taken at the look-ahead point p + μ·v, so a step asks for it by itself: it moves the parameters
    there, calls the closure, and updates them from where they were. SGD(nesterov=True) is the same method seen from the
    look-ahead points: with a constant lr its path is that of p + μ·v, and it needs no closure.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        momentum: μ ≥ 0. Default 0.9.
        weight_decay: λ ≥ 0; λ times the look-ahead point is added to the gradient (L2). Default 0.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        velocity: v.

    Raises TypeError for settings of a wrong type, ValueError for those out of range, TypeError for a step without a
    closure.

    Source: Nesterov, "A method of solving a convex programming problem with convergence rate O(1/k²)" (1983), as in
    Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013), equations 3 and 4,
    with a constant μ. Not in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Nesterov([p], lr=0.1)
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (p * p).sum()
    ...     loss.backward()
    ...     return loss
    >>> for _ in range(2):
    ...     loss = optimizer.step(closure)
    >>> p.numpy().round(6).tolist()
    [0.496, -0.992]
    """

    formula = nesterov
    state_keys = {"v": "velocity"}
    capturable = False
    ranges = {"lr": NONNEGATIVE, "momentum": NONNEGATIVE, "weight_decay": NONNEGATIVE, "maximize": flag}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        self._points: dict[Tensor, Any] = {}  # where the parameters were, while they are ahead
        super().__init__(
            params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "maximize": maximize}, **options
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._points = {}

    def step(self, closure: Closure | None = None) -> Any:
        """Update every parameter that the closure gives a gradient, once. Returns the closure's loss.

        closure: required; it clears the gradients, computes the loss, calls backward and returns the loss, of the
            look-ahead point, where the parameters are meanwhile.

        Raises TypeError without a closure, ValueError for settings that were changed to something out of range and
        for a gradient or a state that does not fit its parameter, and what the closure raises. When it raises, the
        parameters are back where they were, and nothing else of the optimizer has changed.
        """
        if not callable(closure):
            raise TypeError(
                f"Nesterov.step: expected a closure, which computes the loss and its gradient at the look-ahead point, "
                f"got {closure!r}"
            )
        moves = self._moves()
        try:
            uninterrupted(_ahead, moves)
            loss = self._evaluate(closure)
            _keep_gradients(moves)
            uninterrupted(_back, moves)
        except BaseException:
            uninterrupted(_back, moves)
            raise
        super().step()
        return loss

    def _moves(self) -> list[tuple[Any, ...]]:
        """For each parameter that has a velocity: it, its array, a copy of that, the velocity and the momentum."""
        moves = []
        for group in self.param_groups:
            settings = dict(group)
            self.validate(settings)
            for p in dict.fromkeys(group["params"]):  # one that stands twice moves once
                v = self.state[p].get("velocity") if p in self.state else None
                if v is None:
                    continue
                if isinstance(p.data, np.generic):  # what `p.data = 2 * p.data` leaves of a 0-d array
                    p.data = np.asarray(p.data)
                data = p.data
                if v.shape != data.shape or v.dtype != data.dtype:
                    raise ValueError(
                        f"Nesterov.step: state 'velocity' of shape {v.shape} {v.dtype} for a parameter of shape "
                        f"{data.shape} {data.dtype}"
                    )
                if backend.read_only(data):
                    raise ValueError(f"Nesterov.step: a parameter of shape {data.shape} is read-only")
                point = self._points.get(p)
                if point is None or point.shape != data.shape or point.dtype != data.dtype:
                    point = self._points[p] = np.empty_like(data)
                point[...] = data
                moves.append((p, data, point, v, settings["momentum"]))
        return moves


def _ahead(moves: list[tuple[Any, ...]]) -> None:
    with np.errstate(all="ignore"):
        for _, data, point, v, momentum in moves:
            np.multiply(v, momentum, out=data)
            np.add(point, data, out=data)
            Write.of(data).now()


def _keep_gradients(moves: list[tuple[Any, ...]]) -> None:
    """Copy the gradients that are the parameters' own arrays, as p is of p²/2: they would go back with them."""
    for p, data, *_ in moves:
        if isinstance(p.grad, Tensor) and p.grad.data is data:
            p.grad = data.copy()


def _back(moves: list[tuple[Any, ...]]) -> None:
    for _, data, point, _, _ in moves:
        data[...] = point
        Write.of(data).now()
