"""minigrad: arrays with gradients."""
from minigrad.ops import *
from minigrad.autograd import grad
from minigrad.tape import enable_grad, no_grad, set_grad_enabled
from minigrad.tensor import Tensor, tensor
from minigrad.backend import default_generator, get_default_dtype, manual_seed, set_default_dtype
