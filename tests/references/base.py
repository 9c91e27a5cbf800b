"""What the references share: their interface, and the arithmetic of arrays on Python floats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar


def divide(a: float, b: float) -> float:
    """a / b as IEEE 754 has it: a division by zero is inf or NaN where Python raises."""
    if b != 0:
        return a / b
    if a == 0 or a != a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def sqrt(x: float) -> float:
    """√x as IEEE 754 has it: NaN below zero where Python raises."""
    return math.nan if x < 0 else math.sqrt(x)


def maximum(a: float, b: float) -> float:
    """The larger one; NaN where either is NaN."""
    return a if a > b or a != a else b


def sign(x: float) -> float:
    """−1, 0 or 1; 0 for NaN, as torch has it."""
    return float((x > 0) - (x < 0))


def lerp(a: float, b: float, weight: float) -> float:
    """(1 − weight)·a + weight·b as torch computes it; an infinite a and any b give NaN (inf − inf)."""
    return a + weight * (b - a) if weight < 0.5 else b - (1 - weight) * (b - a)


def total(x: Iterable[float]) -> float:
    """The sum, correctly rounded; inf and NaN add as IEEE 754 has it where math.fsum raises."""
    x = list(x)
    return math.fsum(x) if all(map(math.isfinite, x)) else sum(x)


def norm(x: Sequence[float]) -> float:
    """The Euclidean norm."""
    return math.sqrt(total(x_i * x_i for x_i in x))


class Reference:
    """One algorithm on one parameter, element by element, in Python floats and with nothing but `math`.

    A subclass names its settings with their defaults (`defaults`), sets up its state (`start`) and writes one step
    (`update`). Settings are attributes, and may be assigned between steps as a scheduler would: `reference.lr = 0.1`.
    A complex parameter is two real ones: flatten (real, imaginary) pairs.

    p: the parameter, flattened in row-major order.
    shape: of the parameter; needed by the algorithms that reduce over rows, columns or all of it.
    settings: by torch.optim's names.

    p, t: the parameter now and the steps taken.
    state: by torch's state keys; each is an attribute too, but for "step", which is `t`.

    Raises TypeError for a setting that the algorithm does not have.
    """

    defaults: ClassVar[dict[str, Any]] = {}
    state_keys: ClassVar[tuple[str, ...]] = ()

    lr: float
    maximize = False

    def __init__(self, p: Sequence[float], *, shape: Sequence[int] | None = None, **settings: Any) -> None:
        unknown = sorted(settings.keys() - self.defaults.keys())
        if unknown:
            raise TypeError(f"{type(self).__name__} has no setting {', '.join(unknown)}; it has {list(self.defaults)}")
        for name, value in {**self.defaults, **settings}.items():
            setattr(self, name, value)
        self.p = [float(p_i) for p_i in p]
        self.shape = (len(self.p),) if shape is None else tuple(shape)
        self.t = 0
        self.start()

    def step(self, g: Sequence[float] | None) -> None:
        """One step with gradient g; None is a missing gradient: nothing happens and nothing is counted."""
        if g is None:
            return
        self.t += 1
        self.update([-g_i if self.maximize else float(g_i) for g_i in g])

    def start(self) -> None:
        """The state of a parameter that was never stepped."""

    def update(self, g: list[float]) -> None:
        """One step downhill, number `t`."""
        raise NotImplementedError

    @property
    def state(self) -> dict[str, Any]:
        return {key: self.t if key == "step" else getattr(self, key) for key in self.state_keys}

    def full(self, value: float) -> list[float]:
        """A buffer of the parameter's size."""
        return [value] * len(self.p)
