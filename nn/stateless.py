"""A module as a function of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minigrad import Tensor
from minigrad.tape import Variable
from nn.module import Module
from nn.parameter import Buffer, Parameter, named_array


def functional_call(
    module: Module,
    params: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs), with the tensors `params` in place of its parameters and buffers of those names.

    The module itself is not changed, so several threads may call with the same one; gradients, to any order, flow to
    `params`. Buffers that the module writes in a call, such as running means, are those in `params` or else its own.

    params: tensors by dotted name, in one dictionary or several. A tied parameter is replaced wherever it is used; one
        of its names is enough.
    args: the inputs as a tuple, or the only one.
    strict: whether all parameters and buffers must be given.

    Raises ValueError for unknown names, shapes that differ, two values for a tied parameter and, where strict, missing
    names, TypeError for what is no module, no dictionary and no tensor.

    >>> import minigrad as mg, nn
    >>> W = mg.tensor([[2.0, 3.0]], requires_grad=True)
    >>> nn.functional_call(nn.Linear(2, 1, bias=False), {"weight": W}, mg.tensor([[1.0, 1.0]])).tolist()
    [[5.0]]
    """
    if not isinstance(module, Module):
        raise TypeError(f"functional_call: expected a Module, got a {type(module).__name__}")
    parts: Any = params if isinstance(params, list | tuple) else [params]
    for part in [*parts, kwargs or {}]:
        if not isinstance(part, Mapping):
            raise TypeError(f"functional_call: expected params and kwargs as dictionaries, got a {type(part).__name__}")
    given = {name: value for part in parts for name, value in part.items()}
    own = dict(module.named_tensors(Parameter | Buffer, remove_duplicate=False))
    unknown = [name for name in given if name not in own]
    if unknown:
        raise ValueError(f"functional_call: {type(module).__name__} has no parameter or buffer {unknown}")
    replaced: dict[int, Any] = {}
    for name, value in given.items():
        tensor = value if isinstance(value, Variable) else Tensor(named_array(f"functional_call: {name}", value))
        if tensor.data.shape != own[name].shape:
            raise ValueError(f"functional_call: {name} has shape {own[name].shape}, the value {tensor.data.shape}")
        if replaced.setdefault(id(own[name]), tensor) is not tensor:
            raise ValueError(f"functional_call: {name} is tied to another name, which was given another value")
    missing = [name for name, tensor in own.items() if id(tensor) not in replaced]
    if strict and missing:
        raise ValueError(f"functional_call: strict, but params lacks {missing}")
    return _swapped(module, replaced, {})(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))


def _swapped(value: Any, replaced: Mapping[int, Any], made: dict[int, Any]) -> Any:
    """`value` with tensors replaced by identity: modules are copied, and the lists and dictionaries that hold them."""
    if id(value) in replaced:
        return replaced[id(value)]
    if isinstance(value, Module):
        if id(value) not in made:
            made[id(value)] = copied = object.__new__(type(value))
            vars(copied).update({name: _swapped(part, replaced, made) for name, part in vars(value).items()})
        return made[id(value)]
    if type(value) in (list, tuple):
        return type(value)(_swapped(part, replaced, made) for part in value)
    if type(value) is dict:
        return {key: _swapped(part, replaced, made) for key, part in value.items()}
    return value
