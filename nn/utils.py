"""What is done to gradients between backward and step: clipping, checking, gathering them over micro-batches.

`parameters` is a Tensor or any iterable of Tensors; those without a gradient are left out. Gradients are changed in
place. A row-sparse gradient counts as the whole gradient that it stands for. Nothing waits for a GPU but what says so,
and row-sparse gradients, whose rows are put in order.
"""

from __future__ import annotations

import math
import types
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from minigrad import RowSparse, Tensor, backend, many, ops
from minigrad.checks import POSITIVE, number, within
from minigrad.tensor import as_array
from nn.parameter import named_array

__all__ = [
    "GradientAccumulation", "check_grads_finite", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_",
    "get_total_norm", "grads_are_finite", "parameters_to_vector", "vector_to_parameters",
]  # fmt: skip


# --- clipping


def get_total_norm(tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False) -> Tensor:
    """The norm of all elements of several tensors, as of one vector: (Σ |x|ᵖ)^(1/p), a Tensor of shape ().

    tensors: a Tensor or RowSparse, or an iterable of them, of any shapes and types.
    norm_type: p > 0; inf (or "inf", as in torch) for the largest |x|. Default 2.
    error_if_nonfinite: raise RuntimeError where the norm is NaN or infinite; this waits for a GPU.

    float16 is added up in float32, which the norm then has too. Without tensors the norm is 0. As in torch, the norm
    is infinite where a power overflows: for p = 2 beyond 1e19 in float32.

    Raises ValueError for another p, TypeError for what is no number or no tensor.

    >>> import minigrad as mg
    >>> get_total_norm([mg.tensor([3.0, 0.0]), mg.tensor([[4.0]])]).item()
    5.0
    """
    order = math.inf if isinstance(norm_type, str) and norm_type == "inf" else norm_type
    order = within(0.0, open_low=True)("get_total_norm: norm_type", order)
    tensors = _listed("get_total_norm", tensors, Tensor | RowSparse)
    if not tensors:
        return Tensor(np.zeros((), backend.get_default_dtype()))
    arrays = [_values(tensor) for tensor in tensors]
    with np.errstate(over="ignore", invalid="ignore"):
        if order == 2 and many.together(arrays):
            norms = many.norms(arrays)
        else:
            each = [_norm(array, order) for array in arrays]
            device = backend.device_of(each[0])
            norms = np.stack([backend.to_device(norm, device) for norm in each])
        total = _norm(norms, order)
    if error_if_nonfinite and not bool(np.isfinite(total)):
        raise RuntimeError(
            f"get_total_norm: the norm of order {order:g} of {len(tensors)} tensors is {total.item()}; "
            "`check_grads_finite` says whose gradient it is"
        )
    return Tensor(total)


def _values(gradient: Any) -> Any:
    """The array whose elements, beside zeros, are those of a gradient."""
    return gradient.coalesced().values if isinstance(gradient, RowSparse) else as_array(gradient)


def _norm(array: Any, order: float) -> Any:
    """The norm of all elements, an array of shape ()."""
    backend.activate(array)
    vector = array.ravel()
    if vector.dtype == np.float16:
        vector = vector.astype(np.float32)
    if not vector.size:  # which has no largest element
        return backend.zeros((), vector.real)
    norm = np.linalg.norm(vector, order)
    return norm if backend.is_array(norm) else np.asarray(norm)


def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Any) -> None:
    """Multiply all gradients by max_norm / (total_norm + 1e-6) where this is below 1: the 1e-6 is torch's.

    max_norm: ≥ 0.
    total_norm: what `get_total_norm` has found, a Tensor of shape () or a number, ≥ 0; a NaN goes into all gradients.

    Raises ValueError for a max_norm that is negative or NaN, and for a total_norm that is negative (on a GPU it isn't
    looked at) or has a shape, TypeError for what is no number.
    """
    name = "clip_grads_with_norm_"
    limit = within(0.0)(f"{name}: max_norm", max_norm)
    norm = total_norm.data if isinstance(total_norm, Tensor) else total_norm
    if not backend.is_array(norm):
        norm = np.asarray(number(f"{name}: total_norm", norm))
    if norm.shape:
        raise ValueError(f"{name}: total_norm must be one number, got shape {norm.shape}")
    if backend.device_of(norm) == "cpu" and norm < 0:
        raise ValueError(f"{name}: total_norm must be at least 0, got {norm.item():g}")
    gradients = [p.grad for p in _writable(name, parameters)]
    with np.errstate(invalid="ignore"):
        backend.activate(norm)
        scale = np.minimum(limit / (norm + 1e-6), 1.0)
        arrays = [_values_in_place(gradient) for gradient in gradients]
        if many.together([scale, *arrays]):
            many.multiply(arrays, scale)
            return
        for gradient in gradients:
            _multiply(gradient, scale)


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients by one factor, so that their total norm is at most `max_norm`; returns the norm they had.

    The factor is min(1, max_norm / (norm + 1e-6)). It is applied whether or not it is 1, so nothing waits for a GPU. A
    NaN in any gradient goes into all of them; an infinity makes NaN of itself, and 0 of the others.

    max_norm: ≥ 0; inf to measure only.
    norm_type, error_if_nonfinite: as of `get_total_norm`; where it raises, no gradient has changed.

    Raises ValueError for a max_norm that is negative or NaN, and for a norm_type that is not positive.

    R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013,
    algorithm 1.

    >>> import minigrad as mg
    >>> p = mg.tensor([0.0, 0.0], requires_grad=True)
    >>> p.grad = mg.tensor([3.0, 4.0])
    >>> clip_grad_norm_([p], max_norm=1.0)
    tensor(5.)
    >>> p.grad
    tensor([0.5999999 , 0.79999983])
    """
    given = _listed("clip_grad_norm_", parameters)
    if isinstance(parameters, types.GeneratorType) and not given:
        warnings.warn("clip_grad_norm_: the generator was used up already, so nothing is clipped", stacklevel=2)
    norm = get_total_norm([p.grad for p in given if p.grad is not None], norm_type, error_if_nonfinite)
    clip_grads_with_norm_(given, max_norm, norm)
    return norm


def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Bring every element of every gradient into [-clip_value, clip_value]; NaN stays NaN.

    A row-sparse gradient is replaced by one in which no row comes twice.

    Raises ValueError for a clip_value that is negative or NaN, TypeError for complex gradients, which have no order.
    """
    limit = within(0.0)("clip_grad_value_: clip_value", clip_value)
    given = _writable("clip_grad_value_", parameters)
    if any(p.dtype.kind == "c" for p in given):
        raise TypeError("clip_grad_value_: complex gradients can't be clipped by value; clip their norm")
    for p in given:
        if isinstance(p.grad, RowSparse):
            p.grad = p.grad.coalesced()
        array = _values_in_place(p.grad)
        with np.errstate(over="ignore"):  # a limit beyond float16
            np.clip(array, -limit, limit, out=array)


def _listed(name: str, parameters: Any, kind: Any = Tensor) -> list[Any]:
    """One or several as a list. Raises TypeError for anything but Tensors, a module and (name, parameter) pairs too."""
    listed = [parameters] if isinstance(parameters, kind) or not isinstance(parameters, Iterable) else list(parameters)
    for member in listed:
        if not isinstance(member, kind):
            within = "" if member is parameters else f" in a {type(parameters).__name__}"
            raise TypeError(
                f"{name}: expected a Tensor or an iterable of them, as parameters() gives, "
                f"got a {type(member).__name__}{within}"
            )
    return listed


def _writable(name: str, parameters: Any) -> list[Any]:
    """The parameters that have gradients. Raises ValueError where one can't be written in place."""
    given: list[Any] = [p for p in _listed(name, parameters) if p.grad is not None]
    for p in given:
        array = p.grad.values if isinstance(p.grad, RowSparse) else p.grad.data
        if backend.read_only(array):
            raise ValueError(f"{name}: the gradient of a parameter of shape {p.shape} is read-only")
    return given


def _values_in_place(gradient: Any) -> Any:
    """The array of a gradient's values, which is going to be written."""
    if isinstance(gradient, RowSparse):
        return gradient.values
    gradient.mark_written()
    return gradient.data


def _multiply(gradient: Any, factor: Any) -> None:
    """gradient ← factor · gradient, in place; the factor is a number or an array of shape ()."""
    array = _values_in_place(gradient)
    if backend.is_array(factor):
        factor = backend.to_device(factor, backend.device_of(array))
    backend.activate(array)
    np.multiply(array, factor, out=array, casting="same_kind")


# --- checking


def grads_are_finite(parameters: Any) -> bool:
    """Whether no gradient has a NaN or an infinity. This waits for a GPU, once for each device.

    >>> import minigrad as mg
    >>> p = mg.tensor([0.0, 0.0], requires_grad=True)
    >>> p.grad = mg.tensor([1.0, float("inf")])
    >>> grads_are_finite([p])
    False
    """
    answers: dict[str, Any] = {}
    for p in _listed("grads_are_finite", parameters):
        if p.grad is not None:
            finite = np.isfinite(_values(p.grad)).all()
            answers[p.grad.device] = answers.get(p.grad.device, True) & finite
    return all(bool(finite) for finite in answers.values())


def check_grads_finite(parameters: Any) -> None:
    """Raise RuntimeError that names the first parameter whose gradient has a NaN or an infinity, and where.

    parameters: also (name, parameter) pairs, as `named_parameters()` gives; without names they are counted from 0.

    >>> import minigrad as mg, nn
    >>> model = nn.Linear(2, 1)
    >>> model.weight.grad = mg.tensor([[1.0, float("nan")]])
    >>> check_grads_finite(model.named_parameters())
    Traceback (most recent call last):
    RuntimeError: check_grads_finite: the gradient of 'weight', of shape (1, 2), has 1 of 2 elements that are not \
finite; the first, at (0, 1), is nan
    """
    for name, p in _named(parameters):
        if p.grad is None or grads_are_finite(p):
            continue
        array = p.grad.numpy()
        wrong = np.argwhere(~np.isfinite(array))
        first = tuple(wrong[0].tolist())
        raise RuntimeError(
            f"check_grads_finite: the gradient of {name}, of shape {p.shape}, has {len(wrong)} of {array.size} "
            f"elements that are not finite; the first, at {first}, is {array[first]}"
        )


def _named(parameters: Any) -> Iterator[tuple[str, Any]]:
    one = isinstance(parameters, Tensor) or not isinstance(parameters, Iterable)
    for i, member in enumerate([parameters] if one else parameters):
        match member:
            case Tensor():
                yield f"parameter {i}", member
            case (str(name), Tensor() as p):
                yield repr(name), p
            case _:
                raise TypeError(
                    "check_grads_finite: expected Tensors or (name, Tensor) pairs, as named_parameters() gives, "
                    f"got a {type(member).__name__}"
                )


# --- parameters as one vector


def parameters_to_vector(parameters: Any) -> Tensor:
    """All elements of all parameters, in order, as one vector, through which gradients pass.

    Raises ValueError where there are none.
    """
    given = _listed("parameters_to_vector", parameters)
    if not given:
        raise ValueError("parameters_to_vector: expected at least one parameter, got none (or a used-up generator)")
    vector: Tensor = ops.concatenate([p.reshape(-1) for p in given])
    return vector


def vector_to_parameters(vec: Any, parameters: Any) -> None:
    """Copy the elements of a vector into parameters, in order; each keeps its memory, type and device.

    Raises ValueError where the vector has not as many elements as the parameters together, TypeError for a complex one
    where parameters are real.
    """
    given, values = _listed("vector_to_parameters", parameters), named_array("vector_to_parameters: vec", vec)
    if values.dtype.kind == "c" and any(p.dtype.kind != "c" for p in given):
        raise TypeError("vector_to_parameters: the vector is complex, and not all parameters are")
    total = sum(p.size for p in given)
    if values.shape != (total,):
        raise ValueError(f"vector_to_parameters: expected a vector of {total} elements, got shape {values.shape}")
    start = 0
    for p in given:
        backend.copy_into(p.data, values[start : start + p.size].reshape(p.shape))
        p.mark_written()
        start += p.size


# --- micro-batches


class GradientAccumulation:
    """Gradients of a mean over a large batch, gathered from means over its parts, which may differ in size.

        with nn.utils.GradientAccumulation(model.parameters()) as batch:
            for x, y in parts:
                batch.backward(criterion(model(x), y), len(x))
        optimizer.step()

    After the block each `.grad` has grown by Σ nᵢ·gᵢ / Σ nᵢ, gᵢ the gradient of part i's loss and nᵢ its weight: the
    gradient of the mean over all the parts at once, up to rounding. Where the block raises, gradients are as before.

    parameters: whose gradients are gathered.
    loss: after or in the block, the mean loss so far, Σ nᵢ·lossᵢ / Σ nᵢ, a Tensor; None before the first part.

    >>> import minigrad as mg, nn
    >>> p, x = mg.tensor(0.0, requires_grad=True), mg.tensor([1.0, 2.0, 6.0])
    >>> with nn.utils.GradientAccumulation([p]) as batch:
    ...     batch.backward((p * x[:2]).mean(), 2)
    ...     batch.backward((p * x[2:]).mean(), 1)
    >>> p.grad
    tensor(3.)
    """

    def __init__(self, parameters: Any) -> None:
        self.parameters = _listed("GradientAccumulation", parameters)
        self.loss: Any = None
        self._before: list[Any] | None = None
        self._first: Any = None  # the first part's weight, the unit of the others': sums of gradients stay small
        self._total: Any = 0

    def __enter__(self) -> GradientAccumulation:
        if self._before is not None:
            raise RuntimeError("GradientAccumulation: its block was entered a second time before it was left")
        self.loss, self._first, self._total = None, None, 0
        self._before = [p.grad for p in self.parameters]
        for p in self.parameters:
            p.grad = None
        return self

    def backward(self, loss: Any, weight: Any) -> None:
        """Add a part's gradients.

        loss: the mean over the part.
        weight: what that mean divided by: the number of examples; where labels are ignored, of the others; where
            classes have weights, the sum of the labels' weights. A positive number, or a Tensor of shape ().

        Raises RuntimeError outside the block, ValueError for a weight that is not finite and positive, TypeError for
        a weight that is no number and a loss that is no Tensor.
        """
        if self._before is None:
            raise RuntimeError("GradientAccumulation: backward is called inside its `with` block")
        if not isinstance(loss, Tensor):
            raise TypeError(f"GradientAccumulation: loss must be a Tensor, got a {type(loss).__name__}")
        weight = weight.detach() if isinstance(weight, Tensor) else POSITIVE("GradientAccumulation: weight", weight)
        first = weight if self._first is None else self._first
        relative = weight / first
        (loss * relative).backward()
        value, self._first, self._total = loss.detach(), first, self._total + relative
        self.loss = value if self.loss is None else self.loss + (value - self.loss) * (relative / self._total)

    def __exit__(self, kind: object, *_: object) -> None:
        before, self._before = self._before or [], None
        gathered = any(p.grad is not None for p in self.parameters)
        for p, earlier in zip(self.parameters, before, strict=True):
            if kind is not None or self._first is None or p.grad is None:
                p.grad = earlier
                continue
            _multiply(p.grad, 1 / (self._total.data if isinstance(self._total, Tensor) else self._total))
            if earlier is not None:
                p.grad = earlier + p.grad
        if gathered and kind is None and self._first is None:
            raise RuntimeError(
                "GradientAccumulation: gradients came from a plain backward; expected `batch.backward(loss, weight)` "
                "in its block. They are as before it"
            )
