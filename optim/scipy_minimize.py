"""SciPy's minimizers, run through a closure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Unpack

import numpy as np

from minigrad import Tensor, backend
from minigrad.checks import NONNEGATIVE, flag, one_of, optional
from minigrad.tensor import as_array
from optim.closure import NOT_FINITE, ClosureOptimizer, Objective, Report
from optim.flat import Flat
from optim.optimizer import Options

BOUNDED = ("L-BFGS-B", "TNC", "SLSQP", "trust-constr")
METHODS = (*BOUNDED, "BFGS", "CG", "Newton-CG")


def _options(name: str, value: Any) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dictionary or None, got {value!r}")
    return None if value is None else dict(value)


class _Point(NamedTuple):
    """Where it ends; the gradient there is not asked for."""

    x: Any
    value: float
    gradient: Any


class ScipyMinimize(ClosureOptimizer):
    """scipy.optimize.minimize as an optimizer: a `step(closure)` is a whole minimization.

    The parameters are one vector in float64 for SciPy, whatever their own type; the closure sees them in theirs. SciPy
    runs on the CPU: parameters elsewhere are copied there and back at each evaluation.

    Settings:
        method: "L-BFGS-B", "TNC", "SLSQP", "trust-constr", "BFGS", "CG" or "Newton-CG": those that need a gradient and
            nothing else. Default "L-BFGS-B".
        bounds: a tuple (low, high) for all parameters, or a list with one for each parameter of the group, or None in
            its place. low and high are numbers, arrays that broadcast to the parameter's shape, or None where there is
            no bound. For the first four methods. Groups may have bounds of their own. Default None.
        tol: SciPy's tolerance, of which each method makes its own, ≥ 0, or None. Default None.
        options: SciPy's options of the method, such as {"maxiter": 100}. Default None.
        maximize: climb instead of descend; SciPy then sees -f. Default False.

    State, of the first parameter:
        func_evals, n_iter: calls of the closure, SciPy's iterations, over all steps. Nothing else lasts from step to
            step.

    result: SciPy's OptimizeResult of the last step, as it came; None before the first.
    report: a Report of it: SciPy's message, its iterations, the calls of the closure. SciPy does not tell of t and
        Wolfe conditions: NaN and None.

    Raises ValueError for settings out of range and for bounds that don't fit or that the method does not take,
    RuntimeError in a step where SciPy is not installed; `step` says what else. After an error or Ctrl-C the parameters
    are where the step began.

    Source: https://docs.scipy.org/doc/scipy/reference/generated/scipy.optimize.minimize.html

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([-1.2, 1.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.ScipyMinimize([p], bounds=(None, 0.5))
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    >>> p.numpy().round(4).tolist(), optimizer.result.success
    ([0.5, 0.25], True)
    """

    ranges = {"method": one_of(*METHODS), "tol": optional(NONNEGATIVE), "options": _options, "maximize": flag}
    numbers = ("func_evals", "n_iter")
    result: Any = None

    def __init__(
        self,
        params: Any,
        method: str = "L-BFGS-B",
        bounds: Any = None,
        tol: float | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        maximize: bool = False,
        **settings: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {"method": method, "bounds": bounds, "tol": tol, "options": options, "maximize": maximize},
            **settings,
        )

    def validate(self, group: dict[str, Any]) -> None:
        """Check ranges, and that bounds fit."""
        super().validate(group)
        for p, given in zip(group["params"], _pairs(group), strict=True):
            if given is not None:
                if group["method"] not in BOUNDED:
                    raise ValueError(f"ScipyMinimize: bounds are for {', '.join(BOUNDED)}, got {group['method']}")
                _bounds(p, given)

    def minimize(self, objective: Objective, state: dict[str, Any], settings: dict[str, Any]) -> Report:
        """scipy.optimize.minimize from where the parameters are."""
        minimize, flat = _scipy_minimize(), objective.flat
        device = flat.params[0].device

        def placed(x: Any) -> Any:
            return backend.to_device(x.astype(flat.dtype), device)

        def evaluated(x: Any) -> tuple[float, Any]:
            value, gradient = objective(placed(x))
            return value, backend.to_numpy(gradient).astype(float)

        result = self.result = minimize(
            evaluated,
            backend.to_numpy(objective.x).astype(float),
            method=settings["method"],
            jac=True,
            bounds=self._bounds(flat),
            tol=settings["tol"],
            options=settings["options"],
        )
        finite = math.isfinite(result.fun) and bool(np.isfinite(result.x).all())
        if finite:
            point = _Point(placed(result.x), float(result.fun), None)
            objective.accept(point, state, n_iter=state["n_iter"] + int(result.nit))
        else:
            objective.back()
        return Report(
            str(result.message) if finite else NOT_FINITE, int(result.nit), objective.evaluations, math.nan, None
        )

    def _bounds(self, flat: Flat) -> Any:
        """SciPy's pairs, or None where there are no bounds."""
        given = {p: pair for group in self.param_groups for p, pair in zip(group["params"], _pairs(group), strict=True)}
        if all(pair is None for pair in given.values()):
            return None
        low, high = np.full((2, flat.size), [[-math.inf], [math.inf]])
        for p, lows, highs in zip(flat.params, flat.split(low), flat.split(high), strict=True):
            if given[p] is not None:
                lows[...], highs[...] = _bounds(p, given[p])
        return list(zip(low, high, strict=True))


def _pairs(group: dict[str, Any]) -> list[Any]:
    """The bounds of each parameter of a group."""
    bounds, params = group["bounds"], group["params"]
    if not isinstance(bounds, list):
        return [bounds] * len(params)
    if len(bounds) != len(params):
        raise ValueError(f"ScipyMinimize: bounds of {len(bounds)} parameters for a group of {len(params)}")
    return bounds


def _bounds(p: Tensor, pair: Any) -> tuple[Any, Any]:
    """The lower and upper bounds of a parameter as arrays of its shape."""
    if p.dtype.kind == "c":
        raise ValueError(f"ScipyMinimize: a complex parameter of shape {p.shape} can't have bounds")
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ValueError(f"ScipyMinimize: bounds must be a tuple (low, high), or a list of one each, got {pair!r}")
    given = (none if side is None else side for side, none in zip(pair, (-math.inf, math.inf), strict=True))
    try:
        low, high = (np.broadcast_to(backend.to_numpy(as_array(side)), p.shape) for side in given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"ScipyMinimize: bounds {pair!r} for a parameter of shape {p.shape}: {error}") from None
    if not np.all(low <= high):
        raise ValueError(f"ScipyMinimize: a lower bound is above the upper one in {pair!r}")
    return low, high


def _scipy_minimize() -> Any:
    try:
        from scipy.optimize import minimize  # type: ignore[import-untyped]
    except ImportError as error:
        raise RuntimeError("ScipyMinimize: SciPy is not installed; in a checkout, pip install '.[scipy]'") from error
    return minimize
