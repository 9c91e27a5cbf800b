"""Schedule-free SGD."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import FRACTION, NONNEGATIVE, count, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula
from optim.optimizer import Options


@formula
def schedule_free_sgd(
    p, g, z, x, *, lr, momentum, weight_decay, warmup_steps, r, weight_lr_power, maximize, weight_sum, lr_max, t
):
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    if t < warmup_steps:
        gamma = lr * (t / warmup_steps)
    else:
        gamma = lr
    if gamma > lr_max:
        lr_max = gamma
    weight = t**r * lr_max**weight_lr_power
    weight_sum = weight_sum + weight
    if weight_sum:
        c = weight / weight_sum
    else:
        c = 0.0
    z = z - gamma * g
    x = (1 - c) * x + c * z
    p = (1 - momentum) * z + momentum * x
    return p, z, x, weight_sum, lr_max


class ScheduleFreeSGD(ElementwiseOptimizer):
    """Schedule-free SGD: z ← z - γ·g, x ← (1 - c)·x + c·z, p ← (1 - β)·z + β·x: an average in the place of a schedule.

    The gradient is taken at p, an interpolation of the fast sequence z and its average x; x is what to evaluate with.
    γ = lr·min(1, t/warmup_steps); c = w/Σw with w = t^r·(the largest γ yet)^weight_lr_power: 1/t for a constant γ. To
    evaluate with x:

        with optim.swa_utils.swapped(params, [optimizer.state.get(p, {}).get("x", p) for p in params]):
            ...

    Settings:
        lr: γ, ≥ 0; larger than for SGD. Default 1.
        momentum: β in [0, 1). Default 0.9.
        weight_decay: λ ≥ 0, added to the gradient as λp (L2). Default 0.
        warmup_steps: in which γ rises to its full size, a whole number from 0. Default 0.
        r: ≥ 0, power of t in the weights of the average. Default 0.
        weight_lr_power: ≥ 0, power of the largest γ in them. Default 2.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        z, x: the fast sequence and its average.
        weight_sum, lr_max: Σw and the largest γ yet, numbers.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Defazio et al., "The Road Less Scheduled" (2024), equations 3 to 5; the weights are the authors' code's. Not
    in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.ScheduleFreeSGD([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.712, -1.424]
    """

    formula = schedule_free_sgd
    state_keys = {"z": "z", "x": "x"}
    numbers = ("weight_sum", "lr_max")
    ranges = {
        "lr": NONNEGATIVE,
        "momentum": FRACTION,
        "weight_decay": NONNEGATIVE,
        "warmup_steps": count,
        "r": NONNEGATIVE,
        "weight_lr_power": NONNEGATIVE,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        warmup_steps: int = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "warmup_steps": warmup_steps,
                "r": r,
                "weight_lr_power": weight_lr_power,
                "maximize": maximize,
            },
            **options,
        )

    def numbers_before(self, group: dict[str, Any], t: int) -> dict[str, float]:
        """γ grows in the warm-up alone."""
        return {"lr_max": group["lr"] * min(1, (t - 1) / max(1, group["warmup_steps"]))}

    def initial(self, name: str, group: dict[str, Any], p: Any) -> Any:
        """Both sequences start where the parameter is."""
        return p.data if name in ("z", "x") else 0.0
