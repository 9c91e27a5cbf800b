"""Arrays with gradients: NumPy's operations, recorded, so that they can be differentiated to any order.

make           tensor gives a Tensor; get_default_dtype, set_default_dtype
compute        mg.exp(x), np.exp(x) or x.exp(): `help(mg.ops)` has all operations
differentiate  Tensor.backward, grad; no_grad, enable_grad, set_grad_enabled
               vjp, jvp, hvp, jacobian, hessian
               gnvp, fvp, empirical_fvp, hutchinson_trace, hutchinson_diagonal, lanczos: curvature
extend         differentiable makes an operation of a function, gradcheck checks it; RowSparse: gradient of some rows
draw           manual_seed, default_generator
keep           save, load; CheckpointError
on a GPU       cuda.capture, memory_summary

Layers are in `nn`, optimizers in `optim`. To read the source, begin with tape.py, ops/elementwise.py, autograd.py and
tensor.py.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> (x**3).sum().backward()
>>> x.grad
tensor([ 3., 12., 27.])
"""

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
