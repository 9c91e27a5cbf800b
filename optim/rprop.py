"""Rprop: steps that heed only the sign of the gradient."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad.checks import NONNEGATIVE, POSITIVE, flag, tuple_of, within
from optim.elementwise import ElementwiseOptimizer
from optim.formula import formula, maximum, minimum, sign, where
from optim.optimizer import Options


@formula
def rprop(p, g, g_prev, s, *, eta1, eta2, step_size1, step_size2, maximize, t):
    if maximize:
        g = -g
    agreement = g * g_prev
    s = where(agreement > 0, eta2 * s, where(agreement < 0, eta1 * s, s))
    s = minimum(maximum(s, step_size1), step_size2)
    g = where(agreement < 0, 0.0, g)
    p = p - s * sign(g)
    g_prev = g
    return p, g_prev, s


class Rprop(ElementwiseOptimizer):
    """Rprop: p ← p - s·sign(g), where each element's own step s grows while its gradient keeps its sign.

    s ← η⁺·s where g agrees in sign with the last one, η⁻·s where it does not, within [smallest, largest]. Where the
    sign flips, g = 0 is used and remembered: no step is taken, and none is held against the next (iRprop⁻). For full
    batches: the sign of a mini-batch's gradient says little.

    Settings:
        lr: the first s, ≥ 0; nothing afterwards, so a schedule of lr has no effect. Default 1e-2.
        etas: (η⁻, η⁺): η⁻ in (0, 1), η⁺ > 1. Default (0.5, 1.2).
        step_sizes: (smallest, largest) s, each > 0. Default (1e-6, 50).
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        prev: the last g.
        step_size: s.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Riedmiller and Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm"
    (1993); Igel and Hüsken, "Improving the Rprop Learning Algorithm" (2000), Table 4. As in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.Rprop([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.78, -1.78]
    """

    formula = rprop
    state_keys = {"g_prev": "prev", "s": "step_size"}
    ranges = {
        "lr": NONNEGATIVE,
        "etas": tuple_of(within(0.0, 1.0, open_low=True, open_high=True), within(1.0, open_low=True, open_high=True)),
        "step_sizes": tuple_of(POSITIVE, POSITIVE),
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "etas": etas,
                "step_sizes": step_sizes,
                "maximize": maximize,
            },
            **options,
        )

    def initial(self, name: str, group: dict[str, Any], p: Any) -> float:
        """Every element's step size starts from lr."""
        value: float = group["lr"]
        return value if name == "s" else 0.0
