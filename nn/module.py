"""Module: the base class of layers, losses and models."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from minigrad import backend
from minigrad.checks import Checked, floating, function
from minigrad.tape import RemovableHandle, Variable
from nn.backward_hooks import BackwardHooks
from nn.parameter import Buffer, Parameter, named_array

M = TypeVar("M", bound="Module")


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found no value, or no place, for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


@dataclass(frozen=True)
class ForwardHook:
    """A forward hook or pre-hook, and how it is to be called."""

    function: Callable[..., Any]
    with_kwargs: bool
    always_call: bool = False

    def __call__(self, module: Module, args: Any, kwargs: dict[str, Any], *answer: Any) -> Any:
        """What the hook returns."""
        return self.function(module, args, *((kwargs,) if self.with_kwargs else ()), *answer)


class Module(Checked):
    """Something with parameters that maps tensors to tensors. Subclasses write `forward`.

    Whatever is assigned to an attribute is found there: a Parameter is trained, a Buffer is saved, a Module is a
    child. No registration, and no need to call `super().__init__()`:

        class Net(nn.Module):
            def __init__(self):
                self.hidden, self.out = nn.Linear(64, 128), nn.Linear(128, 10)

            def forward(self, x):
                return self.out(F.relu(self.hidden(x)))

    Only such an attribute is found, not what lies in a list, tuple or dictionary: for several modules there are
    ModuleList, ModuleDict and Sequential.

    training: what `train()` and `eval()` switch, for layers that behave differently (dropout, batch norm).
    _ranges: of the class: what its settings must be. They are checked, by name, whenever they are set.
    """

    training = True
    _pre_hooks: dict[int, Any] | None = None  # ForwardHooks
    _hooks: dict[int, Any] | None = None
    _backward_pre_hooks: dict[int, Any] | None = None  # functions
    _backward_hooks: dict[int, Any] | None = None
    _hooked = False  # whether a hook was ever registered

    def forward(self, *args: Any, **options: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def __call__(self, *args: Any, **options: Any) -> Any:
        """What `forward` computes, with the hooks called around it."""
        return self._call_with_hooks(*args, **options) if self._hooked else self.forward(*args, **options)

    def _call_with_hooks(self, *args: Any, **kwargs: Any) -> Any:
        waiting = list((self._hooks or {}).values())
        answer = None
        try:
            args, kwargs = self._run_pre_hooks(args, kwargs)
            around = None
            if self._backward_pre_hooks or self._backward_hooks:
                around = BackwardHooks(self, self._backward_pre_hooks or {}, self._backward_hooks or {})
                args = around.before(args)
            answer = self.forward(*args, **kwargs)
            while waiting:
                changed = waiting.pop(0)(self, args, kwargs, answer)
                answer = answer if changed is None else changed
            if around:
                answer = around.after(answer)
        except Exception:
            for hook in waiting:
                if hook.always_call:
                    self._run_silenced(hook, args, kwargs, answer)
            raise
        return answer

    def _run_pre_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for hook in tuple((self._pre_hooks or {}).values()):
            changed = hook(self, args, kwargs)
            if changed is None:
                continue
            if not hook.with_kwargs:
                args = changed if isinstance(changed, tuple) else (changed,)
            elif isinstance(changed, tuple) and len(changed) == 2:
                args, kwargs = changed
            else:
                raise RuntimeError(
                    f"{type(self).__name__}: a forward pre-hook with_kwargs must return None or (args, kwargs), "
                    f"got {changed!r}"
                )
        return args, kwargs

    def _run_silenced(self, hook: ForwardHook, args: Any, kwargs: dict[str, Any], answer: Any) -> None:
        try:
            hook(self, args, kwargs, answer)
        except Exception as error:
            warnings.warn(
                f"{type(self).__name__}: a forward hook with always_call raised {error!r} after another error, "
                "which is the one to be raised",
                stacklevel=4,
            )

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns, if not None, replaces args.

        prepend: call it before the hooks that are there already.
        with_kwargs: call `hook(module, args, kwargs)`, which returns None or the (args, kwargs) to go on with.
        """
        self._pre_hooks = self._pre_hooks or {}
        return self._registered(self._pre_hooks, ForwardHook(hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, answer)` after forward; what it returns, if not None, replaces the answer.

        prepend: call it before the hooks that are there already.
        with_kwargs: call `hook(module, args, kwargs, answer)`.
        always_call: call it also where forward or a hook raised, with None as the answer where there is none.
        """
        self._hooks = self._hooks or {}
        return self._registered(self._hooks, ForwardHook(hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` in a backward, before it goes through the module.

        grad_output: a tuple of the gradients of the module's answer, or of each member of it where it is a tuple; zeros
            for one that was not used. None for what is no Tensor or wants no gradient.
        The hook returns None, or the gradients to go on with, in such a tuple or, where there is one, without.
        prepend: call it before the hooks that are there already.

        A backward raises ValueError for gradients of another number or shape, TypeError for what is none.
        """
        self._backward_pre_hooks = self._backward_pre_hooks or {}
        return self._registered(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` in a backward, once the gradients of all inputs are there.

        grad_input: a tuple of the gradients of the positional arguments, None for what is no Tensor or wants no
            gradient. Where none wants one, as in a first layer, the hook is called when grad_output is there.
        grad_output: as of `register_full_backward_pre_hook`, and as its hooks have left it.
        What the hook returns, if not None, replaces grad_input; otherwise as there.

        Inputs and answers are copied once where there are such hooks. A `grad` that asks for no gradient of an input,
        or of what it was computed from, doesn't call the hook.

        >>> import minigrad as mg, nn
        >>> layer, x = nn.Linear(2, 1), mg.tensor([[1.0, 2.0]], requires_grad=True)
        >>> with layer.register_full_backward_hook(lambda layer, grad_input, grad_output: print(grad_output)):
        ...     layer(x).backward()
        (tensor([[1.]]),)
        """
        self._backward_hooks = self._backward_hooks or {}
        return self._registered(self._backward_hooks, hook, prepend)

    def _registered(self, hooks: dict[int, Any], hook: Callable[..., Any], prepend: bool) -> RemovableHandle:
        function(f"{type(self).__name__}: hook", hook.function if isinstance(hook, ForwardHook) else hook)
        self._hooked = True
        earlier = dict(hooks)
        handle = RemovableHandle(hooks, hook)
        if prepend:
            for key in earlier:
                hooks[key] = hooks.pop(key)
        return handle

    def __setattr__(self, name: str, value: Any) -> None:
        present = self.__dict__.get(name)
        if isinstance(present, Variable):
            value = self._in_place_of(present, name, value)
        Checked.__setattr__(self, name, value)  # super() takes longer

    def _in_place_of(self, present: Variable, name: str, value: Any) -> Any:
        """`value` as it replaces a tensor: a Parameter stays a Parameter, a Buffer a Buffer."""
        if isinstance(present, Parameter) and not isinstance(value, Parameter | None):
            raise TypeError(
                f"{type(self).__name__}.{name} is a Parameter; it can be replaced by a Parameter or None, "
                f"not by a {type(value).__name__}"
            )
        if isinstance(present, Buffer) and isinstance(value, Variable) and not isinstance(value, Parameter | Buffer):
            return Buffer(value, persistent=present.persistent)
        return value

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assign a parameter to an attribute. ValueError for a name that is taken or no name of an attribute."""
        self._register(name, param, Parameter)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Assign a tensor or an array to an attribute as a Buffer; a persistent one is saved."""
        if tensor is not None and not isinstance(tensor, Buffer):
            tensor = Buffer(named_array(f"{type(self).__name__}: Buffer {name!r}", tensor), persistent=persistent)
        self._register(name, tensor, Buffer)

    def register_module(self, name: str, module: Module | None) -> None:
        """Assign a module to an attribute."""
        self._register(name, module, Module)

    add_module = register_module

    def _register(self, name: str, value: Any, kind: type[Any]) -> None:
        what = f"{type(self).__name__}: {kind.__name__} {name!r}"
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"{what}: a name must be a string without dots, and not empty")
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{what}: expected a {kind.__name__} or None, got a {type(value).__name__}")
        if hasattr(self, name) and not isinstance(getattr(self, name), kind | None):
            raise ValueError(f"{what}: the module has another attribute of this name")
        setattr(self, name, value)

    # --- what is in it

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Everything in this module, by name: its attributes, unless it is a container."""
        yield from vars(self).items()

    def _named_children(self, remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        seen = set()
        for name, value in self._members():
            if isinstance(value, Module) and not (remove_duplicate and id(value) in seen):
                seen.add(id(value))
                yield name, value

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly in this one, with their names, each once."""
        return self._named_children()

    def children(self) -> Iterator[Module]:
        """The modules directly in this one."""
        return (child for _, child in self.named_children())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all those in it, with dotted names, each once (or, if so wished, under each of its names).

        memo: modules to leave out, to which those found are added.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._named_children(remove_duplicate):
            yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all those in it, each once (or, if so wished, as often as it is used)."""
        return (module for _, module in self.named_modules(remove_duplicate=remove_duplicate))

    def named_tensors(
        self, kind: Any, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Parameters or buffers, or both as `Parameter | Buffer`; arguments as of `named_parameters`."""
        seen = set()
        modules = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in module._members():
                if isinstance(value, kind) and not (remove_duplicate and id(value) in seen):
                    seen.add(id(value))
                    yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Parameters with their dotted names. One that is tied, used under two names, comes once.

        prefix: put in front of the names.
        recurse: False leaves out those of the modules in this one.
        remove_duplicate: False gives a tied one under each of its names.
        """
        return self.named_tensors(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Parameters, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """Buffers with their dotted names; arguments as of `named_parameters`."""
        return self.named_tensors(Buffer, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """Buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name; the module itself for "". Raises AttributeError where there is none."""
        module: Any = self
        for name in target.split(".") if target else ():
            module = module._member(name, Module, target)
        return module  # type: ignore[no-any-return]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name. Raises AttributeError where there is none."""
        return self._get(target, Parameter)  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Buffer:
        """The buffer of a dotted name. Raises AttributeError where there is none."""
        return self._get(target, Buffer)  # type: ignore[no-any-return]

    def _get(self, target: str, kind: type[Any]) -> Any:
        path, _, name = target.rpartition(".")
        return self.get_submodule(path)._member(name, kind, target)

    def _member(self, name: str, kind: type[Any], target: str) -> Any:
        found = dict(self._members()).get(name)
        if not isinstance(found, kind):
            raise AttributeError(f"{type(self).__name__} has no {kind.__name__} {name!r} (looked for {target!r})")
        return found

    # --- changing all of it

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call `fn` on every module in this one, children first, and return the module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
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

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with `set_to_none=False`, write zeros into those that there are."""
        for parameter in self.parameters():
            parameter.zero_grad(set_to_none)

    def to(self: M, device: str | None = None, dtype: Any = None) -> M:
        """Move parameters and buffers to a device, and floating-point ones to a type.

        Parameters keep their identity, so an optimizer made before stays right. Gradients move along.
        """
        dtype = None if dtype is None else floating("to: dtype", dtype)
        tensors = [tensor for _, tensor in self.named_tensors(Parameter | Buffer)]
        moved = [_moved(tensor.data, device, dtype) for tensor in tensors]
        gradients = [None if t.grad is None else t.grad.to(device, dtype).detach() for t in tensors]
        for tensor, data, gradient in zip(tensors, moved, gradients, strict=True):
            tensor.data = data
            tensor.grad = gradient
        return self

    # --- saving

    def _saved(self) -> Iterator[tuple[str, Any]]:
        for name, tensor in self.named_tensors(Parameter | Buffer, remove_duplicate=False):
            if isinstance(tensor, Parameter) or tensor.persistent:
                yield name, tensor

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """A copy of all parameters and persistent buffers, as NumPy arrays by dotted name; a tied one under each."""
        return {name: backend.to_numpy(tensor.data).copy() for name, tensor in self._saved()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values by name into parameters and buffers, which keep their identity, type and device.

        strict: raise where names are missing or unknown; otherwise they are returned as (missing, unexpected).

        Raises ValueError for names and shapes, TypeError for what is no dictionary of numbers. When it raises, nothing
        has changed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected a dictionary, got a {type(state_dict).__name__}")
        own = dict(self._saved())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        if strict and (missing or unexpected):
            raise ValueError(f"load_state_dict of {type(self).__name__}: missing {missing}, unexpected {unexpected}")
        values = {name: named_array(f"load_state_dict: {name}", state_dict[name]) for name in own if name in state_dict}
        for name, value in values.items():
            if backend.read_only(own[name].data):
                raise ValueError(f"load_state_dict: {name} can't be written: its array is read-only")
            if value.shape != own[name].shape:
                raise ValueError(f"load_state_dict: {name} has shape {own[name].shape}, the value {value.shape}")
            if value.dtype.kind not in ("biufc" if own[name].dtype.kind == "c" else "biuf"):
                raise TypeError(f"load_state_dict: {name} is of type {own[name].dtype}, the value of {value.dtype}")
        values = {name: value.copy() for name, value in values.items()}  # they may share memory with what is written
        for name, value in values.items():
            backend.copy_into(own[name].data, value)
            own[name].mark_written()
        return IncompatibleKeys(missing, unexpected)

    # --- text

    def extra_repr(self) -> str:
        """The settings that `repr` shows between the brackets."""
        return ""

    def _shown(self) -> Iterator[tuple[str, str]]:
        """What `repr` shows in lines of their own, by name."""
        return ((name, repr(child)) for name, child in self._named_children(False))

    def __repr__(self) -> str:
        lines = [f"({name}): {text}".replace("\n", "\n  ") for name, text in self._shown()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [line for line in (self.extra_repr(), *lines) if line]
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"


def _moved(array: Any, device: str | None, dtype: Any) -> Any:
    if dtype is not None and array.dtype.kind == "f":
        array = array.astype(dtype, copy=False)
    return array if device is None else backend.to_device(array, device)
