"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Any, Unpack

from optim.adam import Adam
from optim.optimizer import Options


class AdamW(Adam):
    """AdamW: p ← (1 - lr·λ)·p, then Adam's step p ← p - lr·m̂/(√v̂ + ε). The formula is `optim.adam.adam`.

    The decay does not pass through m and v, so that parameters with large gradients decay like the others.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε ≥ 0, outside the root. Default 1e-8.
        weight_decay: λ ≥ 0. Default 1e-2.
        amsgrad: never let the denominator shrink. Default False.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        exp_avg, exp_avg_sq: m and v.
        max_exp_avg_sq: the largest v so far, uncorrected; only with amsgrad.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), Algorithm 2. As in torch: λ is scaled
    by lr, where the paper scales it by the schedule's multiplier alone. Always decoupled, on load too.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.AdamW([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.798519, -1.796273]
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True, **options
        )

    def validate(self, group: dict[str, Any]) -> None:
        """Check ranges; the decay stays decoupled whatever a group or a loaded state says."""
        super().validate(group)
        group["decoupled_weight_decay"] = True
