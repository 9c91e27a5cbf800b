"""Paths of parameters: what is drawn for one, how an optimizer and its reference walk it, and how they compare.

Where an algorithm itself is ill-conditioned (√(v - ḡ²) under cancellation, the sign of what cancels, v = g² up to
rounding, m/√v where neither is more than rounding), two correct orders of operations part. Whether a difference may be
that is asked of the reference alone: what becomes of it when all its numbers are off by one unit in the last place?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import hypothesis
import numpy as np
from hypothesis import strategies as st

import minigrad as mg
import optim
from tests.references import REFERENCES

from .table import ROWS, drawn_settings

Values = dict[str, np.ndarray]
"""A parameter ("p") and its state, flat."""


def examples(count: int) -> hypothesis.settings:
    """So many examples, the same in every run."""
    return hypothesis.settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
        database=None,
    )


class Walk(NamedTuple):
    """Parameters in groups, and what happens to each: lists run over the parameters, then over the steps.

    groups: settings, and how many of the parameters they are of.
    p0: start of each parameter.
    grads: gradients; None where one is missing. For a row-sparse one {"rows": ..., "values": ...}.
    lrs: for each group the lr before each step, or None to leave it.
    """

    groups: list[tuple[dict[str, Any], int]]
    p0: list[np.ndarray]
    grads: list[list[Any]]
    lrs: list[list[float] | None]

    def parameters(self) -> Iterator[tuple[dict[str, Any], list[float] | None, np.ndarray, list[Any]]]:
        """Of each parameter: settings, lrs, start and gradients."""
        members = iter(zip(self.p0, self.grads, strict=True))
        for (settings, count), lrs in zip(self.groups, self.lrs, strict=True):
            for _ in range(count):
                yield settings, lrs, *next(members)

    @property
    def steps(self) -> int:
        return len(self.grads[0])


@st.composite
def walks(draw: Any, name: str, most_steps: int = 200, **fixed: Any) -> Walk:
    """Hypothesis draws what matters by itself; numbers come from a random stream with a drawn seed."""
    row = ROWS[name]
    groups = [
        (draw(drawn_settings(name)) | fixed, draw(st.integers(1, 1 if row.shared else 2)))
        for _ in range(draw(st.integers(1, 2)))
    ]
    stream = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.integers(1, 10) | st.integers(1, 10) | st.integers(1, most_steps))
    low, high = draw(st.sampled_from([(-6.0, 6.0), (-1.0, 1.0), (-6.0, -3.0), (3.0, 6.0)]))
    shares = ((0.0, 0.1, 0.5), (0.0, 0.2), (0.5, 0.1), (0.0, 0.0, 0.9))
    zeros, missing, flips, repeated = (draw(st.sampled_from(choices)) for choices in shares)
    p0, grads = [], []
    for _ in range(sum(count for _, count in groups)):
        shape = draw(row.shapes)
        p0.append(stream.standard_normal(shape) * draw(st.sampled_from([1.0, 1.0, 0.0])))
        size = (steps, *shape)
        signs = np.cumprod(np.where(stream.random(size) < flips, -1.0, 1.0), axis=0)
        values = signs * 10.0 ** stream.uniform(low, high, size) * (stream.random(size) >= zeros)
        for t in np.flatnonzero(stream.random(steps - 1) < repeated) + 1:
            values[t] = values[t - 1]
        gone = stream.random(steps) < missing
        if row.gradients == "rows":
            values = [_some_rows(stream, g) for g in values]
        grads.append([None if gone[t] else values[t] for t in range(steps)])
    lrs: list[list[float] | None] = []
    for settings, _ in groups:
        lr = settings.get("lr", REFERENCES[name].defaults["lr"])
        lrs.append((lr * 10.0 ** stream.uniform(-1.0, 0.3, steps)).tolist() if draw(st.booleans()) else None)
    return Walk(groups, p0, grads, lrs)


def _some_rows(stream: np.random.Generator, g: np.ndarray) -> dict[str, Any]:
    """Rows in any order and with repetitions, perhaps none."""
    rows = stream.integers(0, len(g), stream.integers(0, len(g) + 2))
    return {"rows": rows, "values": g[rows]}


def gradient(g: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """A drawn gradient as `p.grad` takes it."""
    if g is None:
        return None
    if isinstance(g, dict):
        values = np.asarray(g["values"], dtype).reshape(len(g["rows"]), *shape[1:])
        return mg.RowSparse(np.asarray(g["rows"], np.int64), values, shape)
    return mg.Tensor(np.array(g, dtype).reshape(shape))


def numbers(value: Any) -> np.ndarray:
    return np.ravel(np.asarray(value, np.float64)).copy()


def take_step(name: str, optimizer: Any, params: list[mg.Tensor], grads: list[Any]) -> None:
    """One step with these gradients, in the way the algorithm asks for them.

    Where it asks for them at a point of its own, a third of the point is added, which shows it. Where it differentiates
    by itself, a third of the gradient is the diagonal of the Hessian.
    """

    def put() -> float:
        for p, g in zip(params, grads, strict=True):
            moved = ROWS[name].closure and g is not None
            p.grad = gradient(g + p.numpy() / 3 if moved else g, p.shape, p.dtype)
        return 0.0

    def loss() -> Any:
        moves = [
            (gradient(g, p.shape, p.dtype), p - p.detach()) for p, g in zip(params, grads, strict=True) if g is not None
        ]
        return sum((g * dp + g / 3 * dp * dp / 2).sum() for g, dp in moves)

    if optimizer.steps_taken == 0 and all(g is None for g in grads):
        return  # refused: tests/optim/test_optimizer.py
    if ROWS[name].loss:
        if any(g is not None for g in grads):
            optimizer.step(loss)
    elif ROWS[name].closure:
        optimizer.step(put)
    else:
        put()
        optimizer.step()


def walk(name: str, given: Walk, dtype: str = "float64") -> list[list[Values]]:
    """Where `optim` goes: for each parameter the values after each step."""
    params = [mg.tensor(p, dtype=dtype, requires_grad=True) for p in given.p0]
    rest = iter(params)
    groups = [{"params": [next(rest) for _ in range(count)], **settings} for settings, count in given.groups]
    optimizer = getattr(optim, name)(groups)
    path: list[list[Values]] = [[] for _ in params]
    for t in range(given.steps):
        for group, lrs in zip(optimizer.param_groups, given.lrs, strict=True):
            if lrs is not None:
                group["lr"] = lrs[t]
        take_step(name, optimizer, params, [grads[t] for grads in given.grads])
        for p, values in zip(params, path, strict=True):
            state = {key: numbers(value) for key, value in optimizer.state.get(p, {}).items() if value is not None}
            values.append({"p": numbers(p.data)} | state)
    return path


def reference_walk(name: str, given: Walk, nudge: Callable[[Any], None] = lambda reference: None) -> list[list[Values]]:
    """Where the references go; `nudge` is called with a reference before each of its steps."""
    path = []
    for settings, lrs, p0, grads in given.parameters():
        reference = REFERENCES[name](p0.ravel().tolist(), shape=p0.shape, **settings)
        values = []
        for t, g in enumerate(grads):
            if lrs is not None:
                reference.lr = lrs[t]
            nudge(reference)
            if isinstance(g, dict):
                reference.step(np.ravel(g["values"]).tolist(), [int(row) for row in g["rows"]])
            elif g is None:
                reference.step(None)
            elif ROWS[name].loss:
                reference.step(np.ravel(g).tolist(), (np.ravel(g) / 3).tolist())
            else:
                at = np.array(reference.look_ahead) if ROWS[name].closure else 0.0
                reference.step((np.ravel(g) + at / 3).tolist())
            state = {key: numbers(value) for key, value in reference.state.items() if value is not None}
            values.append({"p": numbers(reference.p)} | (state if reference.t else {}))
        path.append(values)
    return path


def lost(name: str, given: Walk, ulp: float) -> Iterator[tuple[int, int, str, float]]:
    """How far a reference goes astray when p, state and gradients are off by a unit in the last place at each step.

    Yields parameter, step, array and distance.
    """
    stream = np.random.default_rng(0)

    def off(values: Any) -> Any:
        return np.asarray(values) * (1 + ulp * stream.choice([-1.0, 1.0], np.shape(values)))

    def nudge(reference: Any) -> None:
        for key, value in vars(reference).items():
            if isinstance(value, list):
                setattr(reference, key, off(value).tolist())

    def nudged(g: Any) -> Any:
        if isinstance(g, dict):
            return g | {"values": off(g["values"])}
        return None if g is None else off(g)

    path = reference_walk(name, given)
    for _ in range(5):
        other = given._replace(grads=[[nudged(g) for g in grads] for grads in given.grads])
        for i, (values, moved) in enumerate(zip(path, reference_walk(name, other, nudge), strict=True)):
            for t, (a, b) in enumerate(zip(values, moved, strict=True)):
                for key in a:
                    yield i, t, key, distance(a[key], b[key])


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference; inf where only one is finite. What follows an overflow is tests/parity's to compare."""
    finite = np.isfinite(a)
    if (finite != np.isfinite(b)).any():
        return math.inf
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0))


def scales(path: list[list[Values]]) -> list[dict[str, float]]:
    """For each parameter and each of its arrays, the largest finite number on its path."""
    found: list[dict[str, float]] = []
    for values in path:
        largest: dict[str, float] = {}
        for step in values:
            for key, value in step.items():
                finite = np.abs(value[np.isfinite(value)])
                largest[key] = max(largest.get(key, 0.0), float(finite.max(initial=0.0)))
        found.append(largest)
    return found


def compare(
    name: str,
    given: Walk,
    ours: list[list[Values]],
    wanted: list[list[Values]],
    tolerance: float = 1e-12,
    ulp: float = 2.0**-52,
) -> None:
    """Fail where a parameter or its state is off by more than `tolerance` of the largest on its path.

    From the step on at which the reference itself loses a tenth of that to a unit in the last place, nothing is asked.
    """
    scale = scales(wanted)
    end: dict[tuple[int, str], int] | None = None  # of what is asked; computed where something is off
    for i, (values, others) in enumerate(zip(ours, wanted, strict=True)):
        for t, (a, b) in enumerate(zip(values, others, strict=True)):
            missing = b.keys() - a.keys()
            assert not missing, f"{name}: no {missing} in the state after step {t + 1}, only {a.keys()}"
            for key, value in b.items():
                apart = distance(a[key], value)
                if apart <= tolerance * scale[i][key]:
                    continue
                if end is None:
                    end = {}
                    for j, s, other, amount in lost(name, given, ulp):
                        if amount > tolerance / 10 * scale[j].get(other, math.inf):
                            end[j, other] = min(s, end.get((j, other), s))
                assert t >= end.get((i, key), math.inf), (
                    f"{name}: {key} of parameter {i} is off by {apart} after step {t + 1}, "
                    f"{apart / scale[i][key] if scale[i][key] else math.inf:.1e} of the largest on its path: "
                    f"{a[key]}, expected {value}; groups {given.groups}"
                )
