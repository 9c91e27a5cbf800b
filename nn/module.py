"""Module: the base class of layers, losses and models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from minigrad import Tensor, backend
from minigrad.tape import RemovableHandle
from minigrad.tensor import as_array
from nn.parameter import Buffer, Parameter

M = TypeVar("M", bound="Module")


class Module:
    """Something with parameters that maps tensors to tensors. Subclasses write `forward`.

    Whatever is assigned to an attribute is found there: a Parameter is trained, a Buffer is saved, a Module is a
    child. No registration, and no need to call `super().__init__()`:

        class Net(nn.Module):
            def __init__(self):
                self.hidden, self.out = nn.Linear(64, 128), nn.Linear(128, 10)

            def forward(self, x):
                return self.out(F.relu(self.hidden(x)))

    training: what `train()` and `eval()` switch, for layers that behave differently (dropout, batch norm).
    """

    training = True
    _pre_hooks: dict[int, Callable[..., Any]] | None = None
    _hooks: dict[int, Callable[..., Any]] | None = None

    def forward(self, *args: Any, **options: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "forward" in vars(cls):
            cls.__call__ = cls.forward  # type: ignore[method-assign]

    def __call__(self, *args: Any, **options: Any) -> Any:
        """`forward`: a call goes there directly, until a hook is registered on a module of the class."""
        return self.forward(*args, **options)

    def _call_with_hooks(self, *args: Any, **options: Any) -> Any:
        for pre_hook in tuple((self._pre_hooks or {}).values()):
            changed = pre_hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        answer = self.forward(*args, **options)
        for hook in tuple((self._hooks or {}).values()):
            changed = hook(self, args, answer)
            answer = answer if changed is None else changed
        return answer

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns, if not None, replaces args."""
        self._pre_hooks = self._pre_hooks or {}
        type(self).__call__ = Module._call_with_hooks  # type: ignore[method-assign]
        return RemovableHandle(self._pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args, answer)` after forward; what it returns, if not None, replaces the answer."""
        self._hooks = self._hooks or {}
        type(self).__call__ = Module._call_with_hooks  # type: ignore[method-assign]
        return RemovableHandle(self._hooks, hook)

    def __setattr__(self, name: str, value: Any) -> None:
        present = self.__dict__.get(name)
        if isinstance(present, Parameter) and not isinstance(value, Parameter | None):
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter; it can be replaced by a Parameter or None, "
                f"not by a {type(value).__name__}"
            )
        object.__setattr__(self, name, value)

    # --- what is in it

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly in this one, with their names, each once."""
        seen = set()
        for name, value in vars(self).items():
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules directly in this one."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Module]]:
        """This module and all those in it, with dotted names, each once."""
        seen = set() if seen is None else seen
        if id(self) in seen:
            return
        seen.add(id(self))
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name, seen)

    def modules(self) -> Iterator[Module]:
        """This module and all those in it, each once."""
        return (module for _, module in self.named_modules())

    def _named_tensors(self, kind: type[Any], once: bool = True) -> Iterator[tuple[str, Any]]:
        seen = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and not (once and id(value) in seen):
                    seen.add(id(value))
                    yield f"{prefix}.{name}" if prefix else name, value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Parameters with their dotted names. One that is tied, used under two names, comes once."""
        return self._named_tensors(Parameter)

    def parameters(self) -> Iterator[Parameter]:
        """Parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Buffers with their dotted names, each once."""
        return self._named_tensors(Buffer)

    def buffers(self) -> Iterator[Buffer]:
        """Buffers, each once."""
        return (buffer for _, buffer in self.named_buffers())

    # --- changing all of it

    def apply(self: M, function: Callable[[Module], Any]) -> M:
        """Call `function` on every module in this one, children first, and return the module."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Switch to training mode (or out of it), with all modules in this one."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self: M) -> M:
        """Switch to evaluation: `train(False)`."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Have all parameters trained, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self: M, device: str | None = None, dtype: Any = None) -> M:
        """Move parameters and buffers to a device, and floating-point ones to a type.

        Parameters keep their identity, so an optimizer made before stays right. Gradients move along.
        """
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise TypeError(f"to: expected a floating-point type, got {np.dtype(dtype)}")
        tensors = [tensor for _, tensor in self._named_tensors(Tensor)]
        moved = [tuple(_moved(array, device, dtype) for array in (t.data, t.grad and t.grad.data)) for t in tensors]
        for tensor, (data, grad) in zip(tensors, moved, strict=True):
            tensor.data = data
            tensor.grad = grad
        return self

    # --- saving

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of all parameters and buffers, as NumPy arrays by dotted name; a tied one under each of its names."""
        return {name: backend.to_numpy(t.data).copy() for name, t in self._named_tensors(Parameter | Buffer, once=False)}  # type: ignore[arg-type]

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copy values by name into parameters and buffers, which keep their identity, type and device.

        strict: raise where names are missing or unknown; otherwise they are returned as (missing, unexpected).

        Raises KeyError for names, ValueError for shapes. When it raises, nothing has changed.
        """
        own = dict(self._named_tensors(Parameter | Buffer, once=False))  # type: ignore[arg-type]
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        if strict and (missing or unexpected):
            raise KeyError(f"load_state_dict of {type(self).__name__}: missing {missing}, unexpected {unexpected}")
        values = {name: as_array(state_dict[name]) for name in own if name in state_dict}
        for name, value in values.items():
            if value.shape != own[name].shape:
                raise ValueError(f"load_state_dict: {name} has shape {own[name].shape}, the value {value.shape}")
        for name, value in values.items():
            backend.copy_into(own[name].data, value)
            own[name].mark_written()
        return missing, unexpected

    # --- text

    def extra_repr(self) -> str:
        """The settings that `repr` shows between the brackets."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        return f"{type(self).__name__}({self.extra_repr()}\n  " + "\n  ".join(lines) + "\n)"


def _moved(array: Any, device: str | None, dtype: Any) -> Any:
    if array is None:
        return None
    if dtype is not None and array.dtype.kind == "f":
        array = array.astype(dtype, copy=False)
    return array if device is None else backend.to_device(array, device)

