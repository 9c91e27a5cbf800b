"""Embeddings."""

from __future__ import annotations

from typing import Any

from numpy.typing import DTypeLike

from minigrad.checks import flag, from_one, optional
from nn import functional as F
from nn import init
from nn.module import Module
from nn.parameter import Parameter, filled, named_array


class Embedding(Module):
    """A row of the weight for each index: indices of any shape, answer (*indices.shape, embedding_dim).

    The weight, (num_embeddings, embedding_dim), starts standard normal, from the stream that `minigrad.manual_seed`
    seeds.

    num_embeddings, embedding_dim: positive integers.
    padding_idx: a row that starts as 0 and gets no gradient; negative ones count from the end.
    max_norm: where given, a call first scales each row that it looks up, and whose norm is larger, down to this norm:
        in the weight itself, which no gradient sees.
    norm_type: the p of that norm, (Σ|x|ᵖ)^(1/p); 2 by default.
    scale_grad_by_freq: divide each row's gradient by how often the call looks the row up. Default False.
    sparse: the weight's gradient is a `minigrad.RowSparse`, of the rows that were looked up: nothing of the weight's
        size is allocated. SparseAdam, SGD and Adagrad take it. It becomes an array where the weight is used in other
        ways too, and can't be differentiated again. Default False.
    device, dtype: of the weight; the CPU and the default dtype.

    Raises ValueError for sizes that are not positive, a padding_idx out of range, and a max_norm or norm_type that is
    not positive. On the CPU, a call raises IndexError for an index outside 0..num_embeddings - 1, and TypeError for
    indices that are not integers.
    """

    _ranges = {
        "num_embeddings": from_one,
        "embedding_dim": from_one,
        "max_norm": optional(F.ABOVE_ZERO),
        "norm_type": F.ABOVE_ZERO,
        "scale_grad_by_freq": flag,
        "sparse": flag,
    }
    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = F.checked_row("Embedding: padding_idx", padding_idx, self.num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        shape = self.num_embeddings, self.embedding_dim
        weight = filled(0.0, shape, device, dtype) if _weight is None else named_array("Embedding: _weight", _weight)
        if weight.shape != shape:
            raise ValueError(f"Embedding: _weight must have shape {shape}, got {weight.shape}")
        self.weight = Parameter(weight, requires_grad=not flag("Embedding: freeze", _freeze))
        if _weight is None:
            self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An embedding with these rows, which are copied; `freeze` keeps them from being trained."""
        name = "Embedding.from_pretrained"
        rows = named_array(f"{name}: embeddings", embeddings)
        if rows.ndim != 2:
            raise ValueError(f"{name}: expected rows of shape (n, dim), got shape {rows.shape}")
        settings = padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
        return cls(rows.shape[0], rows.shape[1], *settings, rows.copy(), freeze)

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0
            self.weight.mark_written()

    def forward(self, indices: Any) -> Any:
        """weight[indices]."""
        return F.embedding(
            indices,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        """The sizes, and the settings that are not the defaults."""
        defaults = {
            "padding_idx": None, "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False, "sparse": False
        }  # fmt: skip
        given = [f"{name}={getattr(self, name)}" for name, usual in defaults.items() if getattr(self, name) != usual]
        return ", ".join([f"{self.num_embeddings}, {self.embedding_dim}", *given])
