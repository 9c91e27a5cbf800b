"""LARS: a learning rate for every layer."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from minigrad import Tensor, ops
from minigrad.checks import NONNEGATIVE, flag
from minigrad.many import norms
from optim.elementwise import Binding, ElementwiseOptimizer
from optim.formula import Formula, Scalar, formula
from optim.optimizer import Options


@formula
def lars(p, g, b, kappa: Scalar, *, lr, momentum, weight_decay, trust_coefficient, eps, maximize):
    if maximize:
        g = -g
    if weight_decay:
        g = g + weight_decay * p
    b = momentum * b + lr * kappa * g
    p = p - b
    return p, b


class LARS(ElementwiseOptimizer):
    """LARS: b ← μ·b + lr·κ·(g + λp), p ← p - b, with κ = η·‖p‖/(‖g‖ + λ‖p‖ + ε) for each parameter as a whole.

    Every layer's step is in proportion to its weights, so large batches can take large lr. κ is 1 where ‖p‖ or ‖g‖ is
    0, so that a parameter can leave 0.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        momentum: μ ≥ 0. Default 0.9.
        weight_decay: λ ≥ 0. Default 0.
        trust_coefficient: η ≥ 0. Default 1e-3.
        eps: ε ≥ 0. Default 0, the paper's.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype:
        momentum_buffer: b, which lr is part of.

    Norms are taken in the parameter's type: in float32 they are infinite beyond 1e19, and 0 where all is below 1e-23.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: You, Gitman and Ginsburg, "Large Batch Training of Convolutional Networks" (2017), equation 6 and Algorithm
    1. Not in torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.LARS([p], lr=100.0)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.72, -1.44]
    """

    formula = lars
    state_keys = {"b": "momentum_buffer"}
    scratch = ("kappa",)
    reduces = True
    between_latex = r"\kappa = \frac{\eta \, \|\theta\|}{\|g\| + \lambda \, \|\theta\| + \epsilon}"
    read = ("weight_decay", "trust_coefficient", "eps")
    ranges = {
        "lr": NONNEGATIVE,
        "momentum": NONNEGATIVE,
        "weight_decay": NONNEGATIVE,
        "trust_coefficient": NONNEGATIVE,
        "eps": NONNEGATIVE,
        "maximize": flag,
    }

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        eps: float = 0.0,
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
                "trust_coefficient": trust_coefficient,
                "eps": eps,
                "maximize": maximize,
            },
            **options,
        )

    @np.errstate(all="ignore")
    def update(self, binding: Binding, g: Any, constants: Any, settings: dict[str, Any]) -> None:
        """κ, then the formula."""
        binding.flats[-1][...] = local_rate(norm(binding.flat), norm(g), **settings)
        binding.run(binding.flat, g, *binding.flats, constants)

    def update_together(
        self, bindings: list[Binding], gradients: list[Any], constants: Any, settings: dict[str, Any]
    ) -> None:
        """The same of all parameters, each of the two at once."""
        p_norms, g_norms = norms([b.flat for b in bindings] + gradients).reshape(2, -1)
        kappas = local_rate(p_norms, g_norms, **settings).reshape(-1, 1)
        rows = [(b.flat, g, *b.flats[:-1], k) for b, g, k in zip(bindings, gradients, kappas, strict=True)]
        bindings[0].run.run(rows, constants)

    def between(self, formula: Formula, given: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
        """κ."""
        p_norm, g_norm = (norm(given[name].reshape(-1)) for name in ("p", "g"))
        return {"kappa": local_rate(p_norm, g_norm, **{name: group[name] for name in self.read})}


def local_rate(p_norm: Any, g_norm: Any, weight_decay: Any, trust_coefficient: Any, eps: Any) -> Any:
    """κ of a parameter by its norm and its gradient's: arrays or Tensors."""
    size = g_norm + weight_decay * p_norm + eps
    return ratio(trust_coefficient * p_norm, size, (p_norm != 0) & (g_norm != 0))


def norm(x: Any) -> Any:
    """Euclidean norm of a vector, in its type and on its device, without a temporary; in float32 for float16."""
    x = x.astype(np.float32) if x.dtype == np.float16 else x
    return np.sqrt(np.dot(x, x))


def ratio(a: Any, b: Any, defined: Any) -> Any:
    """a / b, or 1 where the quotient is not defined; on the arrays' device, without waiting for it.

    Of Tensors, a quotient that is not defined is not recorded: its derivative is NaN, also times 0.
    """
    if isinstance(a, Tensor):
        return a / b if defined else ops.ones_like(a.detach())
    with np.errstate(all="ignore"):
        return np.where(defined, a / b, 1.0)
