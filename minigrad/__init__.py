"""minigrad: arrays with gradients."""

from minigrad import ops
from minigrad.autograd import grad, hessian, hvp, jacobian, jvp, vjp
from minigrad.backend import default_generator, get_default_dtype, manual_seed, set_default_dtype
from minigrad.gradcheck import gradcheck
from minigrad.ops import *
from minigrad.sparse import RowSparse
from minigrad.tape import enable_grad, no_grad, set_grad_enabled
from minigrad.tensor import Tensor, tensor

__all__ = [
    *ops.__all__, "RowSparse", "Tensor", "default_generator", "enable_grad", "get_default_dtype", "grad", "gradcheck",
    "hessian", "hvp", "jacobian", "jvp", "manual_seed", "no_grad", "set_default_dtype", "set_grad_enabled", "tensor",
    "vjp",
]  # fmt: skip
