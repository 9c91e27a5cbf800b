"""SparseAdam: Adam on the rows that a gradient names."""

from __future__ import annotations

from typing import Any, Unpack

from minigrad import RowSparse, Tensor
from minigrad.checks import BETAS, NONNEGATIVE, POSITIVE, flag
from optim.elementwise import ElementwiseOptimizer, Piece
from optim.formula import formula, sqrt
from optim.optimizer import Options


@formula
def sparse_adam(p, g, m, v, *, lr, beta1, beta2, eps, maximize, t):
    if maximize:
        g = -g
    m = m + (1 - beta1) * (g - m)
    v = v + (1 - beta2) * (g * g - v)
    p = p - lr * sqrt(1 - beta2**t) / (1 - beta1**t) * (m / (sqrt(v) + eps))
    return p, m, v


class SparseAdam(ElementwiseOptimizer):
    """Adam on some rows of p: p ← p - lr·√(1 - β2ᵗ)/(1 - β1ᵗ)·m/(√v + ε), for the rows that the gradient names.

    m ← β1·m + (1 - β1)·g, v ← β2·v + (1 - β2)·g², in these rows alone: p, m and v of the others are neither read nor
    written, so their moments don't decay. t counts the steps of the parameter, not those of a row, and a gradient
    without rows is a step. A row that comes twice gets the sum of its values. For the parameters of
    `nn.Embedding(..., sparse=True)`, whose gradients are RowSparse.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε > 0, added to the uncorrected √v. Default 1e-8.
        maximize: climb instead of descend. Default False.

    State, of each parameter; arrays of its shape and dtype, all rows of it:
        step: number of updates.
        exp_avg, exp_avg_sq: m and v.

    Raises TypeError for settings of a wrong type, ValueError for those out of range and for complex parameters; in a
    step RuntimeError for a gradient that is not row-sparse.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), section 2, in the order of its last
    remark (ε beside the uncorrected root), on rows; the paper has no rows, there all moments decay. As in torch, whose
    constructor refuses lr = 0, though no schedule and no saved state that has come to it. m and v are written as torch
    computes them, m + (1 - β1)(g - m): where g is much smaller than m, and β1 near 0, this loses digits that
    β1·m + (1 - β1)·g would keep.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([[1.0], [-2.0], [3.0]], dtype="float64", requires_grad=True)
    >>> optimizer = optim.SparseAdam([p], lr=0.1)
    >>> for _ in range(2):
    ...     p.grad = mg.RowSparse([2, 0], 2 * p.numpy()[[2, 0]], p.shape)
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [[0.800412], [-2.0], [2.800103]]
    """

    formula = sparse_adam
    state_keys = {"m": "exp_avg", "v": "exp_avg_sq"}
    ranges = {"lr": NONNEGATIVE, "betas": BETAS, "eps": POSITIVE, "maximize": flag}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize}, **options)

    def validate(self, group: dict[str, Any]) -> None:
        """Check ranges, and that no parameter is complex."""
        super().validate(group)
        for p in group["params"]:
            if p.dtype.kind == "c":
                raise ValueError(f"SparseAdam: parameters must be real, got one of shape {p.shape} {p.dtype}")

    def _gather(self, number: int, group: dict[str, Any], params: list[Tensor], work: list[Piece]) -> None:
        for p in params:
            if p.grad is not None and not isinstance(p.grad, RowSparse):
                raise RuntimeError(
                    f"SparseAdam.step: a dense gradient for a parameter of shape {p.shape}; only row-sparse ones "
                    "(RowSparse, from nn.Embedding with sparse=True) are taken. Use Adam for dense ones"
                )
        super()._gather(number, group, params, work)

    def row_sparse(self, g: RowSparse, group: dict[str, Any]) -> RowSparse:
        """As it is."""
        return g
