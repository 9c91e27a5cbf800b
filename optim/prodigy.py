"""Prodigy: Adam that finds its own step size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Unpack

import numpy as np

from minigrad import Tensor, backend, many, ops
from minigrad.checks import BETAS, FRACTION, NONNEGATIVE, POSITIVE, flag, optional, within
from minigrad.cuda import Recording, StaleError
from optim import captured
from optim.elementwise import Binding, ElementwiseOptimizer, Piece
from optim.formula import Formula, Scalar, formula, sqrt
from optim.optimizer import Options


@formula
def prodigy(
    p, g, m, v, s, p0, travelled, d: Scalar, *, lr, beta1, beta2, beta3, eps, weight_decay, decoupled_weight_decay,
    use_bias_correction, safeguard_warmup, maximize, t
):  # fmt: skip
    if maximize:
        g = -g
    if use_bias_correction:
        lr = lr * sqrt(1 - beta2**t) / (1 - beta1**t)
    if weight_decay and not decoupled_weight_decay:
        g = g + weight_decay * p
    travelled = g * (p0 - p)
    if weight_decay and decoupled_weight_decay:
        p = p - lr * d * weight_decay * p
    if beta3 is None:
        beta3 = sqrt(beta2)
    if safeguard_warmup:
        s = beta3 * s + (1 - beta3) * d * d * g
    else:
        s = beta3 * s + (1 - beta3) * (lr * d * d) * g
    m = beta1 * m + (1 - beta1) * d * g
    v = beta2 * v + (1 - beta2) * d * d * g * g
    p = p - lr * d * m / (sqrt(v) + d * eps)
    return p, m, v, s, travelled


class Prodigy(ElementwiseOptimizer):
    """Prodigy: p ← p - lr·d·m/(√v + d·ε), Adam on d·g, where d grows to an estimate of the distance to the solution.

    m ← β1·m + (1 - β1)·d·g, v ← β2·v + (1 - β2)·d²g², s ← β3·s + (1 - β3)·lr·d²·g, and for all parameters of a group
    together r ← β3·r + (1 - β3)·lr·d²·⟨g, p0 - p⟩ and d ← max(d, d_coef·r/‖s‖₁), which the next step uses.

    Each group has a d of its own, where the paper and the authors' code have one over all groups: so two groups with
    equal settings train otherwise than one with all parameters. Put them into one group where they are to share d.

    Settings:
        lr: factor of the step size found, ≥ 0; where a schedule acts. Default 1.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        beta3: β3 in [0, 1); None is √β2. Default None.
        eps: ε ≥ 0. Default 1e-8.
        weight_decay: λ ≥ 0. Default 0.
        decoupled_weight_decay: as AdamW with the step size lr·d; False adds λp to the gradient. Default True.
        use_bias_correction: scale lr by √(1 - β2ᵗ)/(1 - β1ᵗ). Default False.
        safeguard_warmup: leave lr out of s. Default False.
        d0: the first d, > 0. Default 1e-6.
        d_coef: factor of the estimate, > 0. Default 1.
        growth_rate: how much d may grow in one step, ≥ 1 or inf. Default inf.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        exp_avg, exp_avg_sq, s: m, v and s.
        p0: where the parameter started.
    State, of each group, in float64; numbers, or arrays of shape () beside parameters on a GPU, so that no step waits
    for it (`state_dict` has numbers):
        d: that of the next step.
        d_max: the largest estimate yet.
        d_numerator: r.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner" (2024), Algorithm 4, for
    each group by itself. Not in torch. Every step uses the d from before it; the authors' code puts the new one beside
    ε.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Prodigy([p], d0=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.270206, -1.262265]
    """

    formula = prodigy
    state_keys = {"m": "exp_avg", "v": "exp_avg_sq", "s": "s", "p0": "p0"}
    scratch = ("travelled", "d")
    between_latex = (
        r"r \leftarrow \beta_3 \, r + (1 - \beta_3) \gamma \, d^2 \sum \mathit{travelled}, \quad "
        r"d \leftarrow \max(d, \mathit{d\_coef} \, r / \|s\|_1) \text{ for the next step}"
    )
    ranges = {
        "lr": NONNEGATIVE,
        "betas": BETAS,
        "beta3": optional(FRACTION),
        "eps": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "decoupled_weight_decay": flag,
        "use_bias_correction": flag,
        "safeguard_warmup": flag,
        "d0": POSITIVE,
        "d_coef": POSITIVE,
        "growth_rate": within(1.0),
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        beta3: float | None = None,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = True,
        use_bias_correction: bool = False,
        safeguard_warmup: bool = False,
        d0: float = 1e-6,
        d_coef: float = 1.0,
        growth_rate: float = math.inf,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "beta3": beta3,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "use_bias_correction": use_bias_correction,
                "safeguard_warmup": safeguard_warmup,
                "d0": d0,
                "d_coef": d_coef,
                "growth_rate": growth_rate,
                "maximize": maximize,
            },
            **options,
        )

    def initial(self, name: str, group: dict[str, Any], p: Any) -> Any:
        """p0 is where the parameter stands."""
        return p.data if name == "p0" else 0.0

    def validate(self, group: dict[str, Any]) -> None:
        """Check ranges; a group that has no d yet starts from d0."""
        super().validate(group)
        group.update(fresh(group["d0"]) | group)

    def _packed(self) -> dict[str, Any]:
        """What a group shares is saved as numbers."""
        saved = super()._packed()
        for group in saved["param_groups"]:
            group.update(_numbers(group))
        return saved

    def between(self, formula: Formula, given: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
        """d, in the parameter's type."""
        d, p = group["d"], given["p"]
        d = d if isinstance(d, Tensor) else Tensor(backend.zeros((), p.data) + d)
        return {"d": d if d.dtype == p.dtype else d.astype(p.dtype)}

    def shared(self, group: dict[str, Any]) -> dict[str, Any]:
        """d and what it is estimated from."""
        return fresh(group["d0"])

    def shared_next(self, group: dict[str, Any], stepped: list[dict[str, Any]]) -> dict[str, Any]:
        """The d of the next step."""
        travelled = sum(_total(one["travelled"]) for one in stepped)
        size = sum(_total(ops.absolute(one["s"])) for one in stepped)
        return estimate(group, factors(group, max(one["step"] for one in stepped)), travelled, size)

    def _run(self, work: list[Piece]) -> None:
        parts = self._parts(work)
        super()._run(work)
        for number, bindings, t in parts:
            group = self.param_groups[number]
            self._estimate(group, bindings, factors(group, t))

    def _record(self, work: list[Piece], recording: Recording) -> None:
        parts = self._parts(work)
        shared = [[self.param_groups[number][key] for key in SHARED] for number, *_ in parts]
        if not all(backend.is_array(value) for values in shared for value in values):
            raise StaleError  # loaded, and not on the device yet

        def prepared() -> tuple[list[Any], Any]:
            values = []
            for (number, bindings, _), known in zip(parts, shared, strict=True):
                group = self.param_groups[number]
                if any(group[key] is not value for key, value in zip(SHARED, known, strict=True)):
                    raise StaleError
                t = max(binding.state["step"] for binding in bindings) + 1
                values.append(np.array(factors(group, t), np.float64))
            return values, lambda: None

        super()._record(work, recording)
        sizes = [len(factors(self.param_groups[number], t)) for number, _, t in parts]
        live = recording.each_replay(sizes, prepared)
        for (number, bindings, _), words in zip(parts, live, strict=True):
            self._estimate(self.param_groups[number], bindings, captured.scalars(words, np.dtype(np.float64)))

    def _parts(self, work: list[Piece]) -> list[tuple[int, list[Binding], int]]:
        """For each group that has gradients its number, what is bound of it, now with its d, and the largest t."""
        parts = []
        for number, group in enumerate(self.param_groups):
            mine = [(binding, t) for _, binding, _, _, t, _, _, owner in work if owner is group]
            if not mine:
                continue
            if backend.is_array(group["d"]) and _devices(b for b, _ in mine) != {backend.device_of(group["d"])}:
                group.update(_numbers(group))
            for binding, _ in mine:
                backend.activate(binding.data)
                binding.flats[-1][...] = group["d"]
            parts.append((number, [binding for binding, _ in mine], max(t for _, t in mine)))
        return parts

    def _estimate(self, group: dict[str, Any], bindings: list[Binding], factors: Iterable[Any]) -> None:
        """The d of the next step, from what the formula left of all parameters of a group."""
        with np.errstate(all="ignore"):
            travelled, size = _sums(bindings)
            for key, value in estimate(group, factors, travelled, size).items():
                if backend.is_array(value) and backend.is_array(group[key]):
                    group[key][...] = value  # where a captured step finds it
                else:
                    group[key] = value


SHARED = ("d", "d_max", "d_numerator")


def fresh(d0: Any) -> dict[str, Any]:
    """What the parameters of a group share, before the first step."""
    return {"d": d0, "d_max": d0, "d_numerator": 0.0}


def factors(group: dict[str, Any], t: int) -> tuple[Any, ...]:
    """What `estimate` takes of a group's settings for step t: numbers, or Tensors."""
    lr = group["lr"]
    beta1, beta2 = group["betas"]
    if group["use_bias_correction"]:
        lr = lr * sqrt(1 - beta2**t) / (1 - beta1**t)
    beta3 = sqrt(beta2) if group["beta3"] is None else group["beta3"]
    return beta3, (1 - beta3) * lr, group["d0"], group["d_coef"], group["growth_rate"]


def estimate(shared: dict[str, Any], factors: Iterable[Any], travelled: Any, size: Any) -> dict[str, Any]:
    """What they share after a step, from Σ⟨g, p0 - p⟩ and Σ‖s‖₁ over them: numbers, Tensors or arrays of shape ()."""
    d, d_max, r = (shared[key] for key in SHARED)
    beta3, weight, d0, d_coef, growth_rate = factors
    r = beta3 * r + weight * d * d * travelled
    known = size > 0
    d_hat = d_coef * r / _choose(known, size, 1.0)
    largest = _choose(known & (d_hat > d_max), d_hat, d_max)
    grown = _choose((d == d0) & (d_hat > d), d_hat, d) * growth_rate
    d = _choose(known, _choose(grown < largest, grown, largest), d)
    return {"d": d, "d_max": largest, "d_numerator": r}


def _sums(bindings: list[Binding]) -> tuple[Any, Any]:
    """Σ⟨g, p0 - p⟩ and Σ‖s‖₁ over all of these, added up in double."""
    parts, s = [b.flats[-2] for b in bindings], [b.flats[-4] for b in bindings]
    if many.together(parts):
        return many.sums(parts).sum(dtype=np.float64), many.absolute_sums(s).sum(dtype=np.float64)
    devices = _devices(bindings)
    number = float if len(devices) > 1 or devices == {"cpu"} else _in_double
    travelled: Any = 0.0
    size: Any = 0.0
    for part, sums in zip(parts, s, strict=True):
        backend.activate(part)
        travelled = travelled + number(part.sum())
        np.absolute(sums, out=part)
        size = size + number(part.sum())
    return travelled, size


def _total(x: Tensor) -> Any:
    """The sum of all elements: a number, or a Tensor where it is being differentiated."""
    with np.errstate(all="ignore"):
        total = x.ravel().sum()
    return total.astype(np.float64) if total.requires_grad else total.item()


def _choose(condition: Any, a: Any, b: Any) -> Any:
    """a or b; of arrays on their device, without waiting for it."""
    return np.where(condition, a, b) if backend.is_array(condition) else a if condition else b


def _numbers(group: dict[str, Any]) -> dict[str, Any]:
    """What a group shares, on the host."""
    return {key: backend.to_numpy(group[key]).item() for key in SHARED if backend.is_array(group[key])}


def _devices(bindings: Iterable[Binding]) -> set[str]:
    return {backend.device_of(binding.data) for binding in bindings}


def _in_double(x: Any) -> Any:
    return x.astype(np.float64)
