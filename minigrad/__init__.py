"""minigrad: arrays with gradients."""

from minigrad import cuda, ops
from minigrad.autograd import grad, hessian, hvp, jacobian, jvp, vjp
from minigrad.backend import default_generator, get_default_dtype, manual_seed, set_default_dtype
from minigrad.checkpoint import CheckpointError, load, save
from minigrad.cuda import memory_summary
from minigrad.curvature import empirical_fvp, fvp, gnvp, hutchinson_diagonal, hutchinson_trace, lanczos
from minigrad.gradcheck import gradcheck
from minigrad.ops import *
from minigrad.sparse import RowSparse
from minigrad.tape import differentiable, enable_grad, no_grad, set_grad_enabled
from minigrad.tensor import Tensor, tensor

__all__ = [
    *ops.__all__, "CheckpointError", "RowSparse", "Tensor", "cuda", "default_generator", "differentiable",
    "empirical_fvp", "enable_grad", "fvp", "get_default_dtype", "gnvp", "grad", "gradcheck", "hessian",
    "hutchinson_diagonal", "hutchinson_trace", "hvp", "jacobian", "jvp", "lanczos", "load", "manual_seed",
    "memory_summary", "no_grad", "save", "set_default_dtype", "set_grad_enabled", "tensor", "vjp",
]  # fmt: skip
