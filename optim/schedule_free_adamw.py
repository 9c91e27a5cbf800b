"""Schedule-free AdamW."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import BETAS, NONNEGATIVE, count, flag
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, sqrt
from optim.optimizer import Options


@formula
def schedule_free_adamw(
    p, g, z, x, v, *, lr, beta1, beta2, eps, weight_decay, warmup_steps, r, weight_lr_power, maximize,
    weight_sum, lr_max, t
):  # fmt: skip
    if maximize:
        g = -g
    if t < warmup_steps:
        gamma = lr * sqrt(1 - beta2**t) * (t / warmup_steps)
    else:
        gamma = lr * sqrt(1 - beta2**t)
    if gamma > lr_max:
        lr_max = gamma
    weight = t**r * lr_max**weight_lr_power
    weight_sum = weight_sum + weight
    if weight_sum:
        c = weight / weight_sum
    else:
        c = 0.0
    v = beta2 * v + (1 - beta2) * g * g
    z = z - gamma * g / (sqrt(v) + eps)
    if weight_decay:
        z = z - gamma * weight_decay * p
    x = (1 - c) * x + c * z
    p = (1 - beta1) * z + beta1 * x
    return p, z, x, v, weight_sum, lr_max


class ScheduleFreeAdamW(ElementwiseOptimizer):
    """Schedule-free AdamW: z ← z - γ·g/(√v + ε) - γλp, x ← (1 - c)·x + c·z, p ← (1 - β1)·z + β1·x.

    The gradient is taken at p, an interpolation of the fast sequence z and its average x; x is what to evaluate with.
    v ← β2·v + (1 - β2)·g² comes first. γ = lr·√(1 - β2ᵗ)·min(1, t/warmup_steps); c = w/Σw with
    w = t^r·(the largest γ yet)^weight_lr_power. To evaluate with x:

        with optim.swa_utils.swapped(params, [optimizer.state.get(p, {}).get("x", p) for p in params]):
            ...

    Settings:
        lr: ≥ 0. Default 2.5e-3.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε ≥ 0. Default 1e-8.
        weight_decay: λ ≥ 0, decoupled, at p. Default 0.
        warmup_steps: in which γ rises to its full size, a whole number from 0. Default 0.
        r: ≥ 0, power of t in the weights of the average. Default 0.
        weight_lr_power: ≥ 0, power of the largest γ in them. Default 2.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        z, x: the fast sequence and its average.
        exp_avg_sq: v, the running mean of g².
        weight_sum, lr_max: Σw and the largest γ yet, numbers.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Defazio et al., "The Road Less Scheduled" (2024), Algorithm 1; the weights are the authors' code's, equal to
    the paper's γ² while γ grows. Not in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.ScheduleFreeAdamW([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.833784, -1.831826]
    """

    formula = schedule_free_adamw
    state_keys = {"z": "z", "x": "x", "v": "exp_avg_sq"}
    numbers = ("weight_sum", "lr_max")
    ranges = {
        "lr": NONNEGATIVE,
        "betas": BETAS,
        "eps": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "warmup_steps": count,
        "r": NONNEGATIVE,
        "weight_lr_power": NONNEGATIVE,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
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
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "warmup_steps": warmup_steps,
                "r": r,
                "weight_lr_power": weight_lr_power,
                "maximize": maximize,
            },
            **options,
        )

    def initial(self, name: str, group: dict[str, Any], p: Any) -> Any:
        """Both sequences start where the parameter is."""
        return p.data if name in ("z", "x") else 0.0
