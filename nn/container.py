"""Modules made of modules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence
from itertools import count
from typing import Any

from minigrad import backend
from minigrad.ops.layers import linear_relu
from minigrad.tape import raw
from nn.activation import ReLU
from nn.linear import Linear
from nn.module import Module

FORWARD = {Linear: Linear.forward, ReLU: ReLU.forward}


def _is_plain(layer: Any, kind: type[Module]) -> bool:
    """Whether to call this layer is to call `forward` as this class has it, and nothing else."""
    return type(layer) is kind and not layer._hooked and getattr(layer.forward, "__func__", None) is FORWARD[kind]


def _checked(owner: Module, name: object, module: Any, kind: Any = Module) -> Any:
    if isinstance(module, type) and issubclass(module, Module):
        raise TypeError(f"{type(owner).__name__}: got the class {module.__name__} at {name!r}; make an object of it")
    if not isinstance(module, kind):
        wanted = "a module" if kind is Module else "a module or a function"
        raise TypeError(f"{type(owner).__name__}: expected {wanted} at {name!r}, got a {type(module).__name__}")
    return module


def _checked_name(owner: Module, name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{type(owner).__name__}: expected a string as key, got a {type(name).__name__}")
    if not name or "." in name:
        raise ValueError(f"{type(owner).__name__}: a name must be without dots, and not empty, got {name!r}")
    return name


def _several(owner: Module, modules: Any) -> list[Any]:
    if not isinstance(modules, Iterable):
        raise TypeError(f"{type(owner).__name__}: expected several modules, got a {type(modules).__name__}")
    return list(modules)


def _checked_index(owner: Any, index: Any) -> int:
    """An index, which may be negative, as an integer."""
    name, n = type(owner).__name__, len(owner)
    try:
        i = operator.index(index)
    except TypeError:
        raise TypeError(f"{name}: an index must be an integer, got a {type(index).__name__}") from None
    if not -n <= i < n:
        raise IndexError(f"{name}: no index {i}, there are {n} modules")
    return i


class Sequential(Module, MutableSequence[Any]):
    """Modules, or any functions of one tensor, applied one after the other; with the methods of a list.

    They are named "0", "1", ... or, where one dictionary is given, by its keys: `model.head` is then the layer "head",
    and assigning a module to it replaces that layer. `insert`, and deleting by index, name them all "0", "1", ... anew,
    as in torch. A slice keeps the names. `a + b`, `a * 3` and `3 * a` are new ones of the same layers.

    Raises TypeError for what is no module or function, IndexError for an index that there is not, ValueError for a name
    that is empty, has a dot, or is that of another attribute, such as "training".

    >>> import nn
    >>> nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    Sequential(
      (0): Linear(in_features=64, out_features=128, bias=True)
      (1): ReLU()
      (2): Linear(in_features=128, out_features=10, bias=True)
    )
    """

    def __init__(self, *modules: Any) -> None:
        self._layers: dict[str, Any] = {}
        one = modules[0] if len(modules) == 1 else None
        if isinstance(one, Mapping):
            for name, module in one.items():
                self._place(_checked_name(self, name), module)
        else:
            self.extend(modules)

    def forward(self, x: Any) -> Any:
        """The last module's answer."""
        if backend.is_cupy(raw(x)):
            return self._on_a_gpu(x)
        for layer in self._layers.values():
            x = layer(x)
        return x

    def _on_a_gpu(self, x: Any) -> Any:
        """The same, where a Linear layer and the ReLU behind it save a launch."""
        layers = list(self._layers.values())
        while layers:
            first = layers.pop(0)
            if layers and _is_plain(first, Linear) and _is_plain(layers[0], ReLU) and first.bias is not None:
                layers.pop(0)
                x = linear_relu(x, first.weight, first.bias)
            else:
                x = first(x)
        return x

    # --- layers as attributes

    def _members(self) -> Iterator[tuple[str, Any]]:
        yield from super()._members()
        yield from self._layers.items()

    def _shown(self) -> Iterator[tuple[str, str]]:
        for name, layer in self._layers.items():
            yield name, repr(layer) if isinstance(layer, Module) else getattr(layer, "__name__", repr(layer))

    def _place(self, name: str, module: Any) -> None:
        if name in vars(self) or not callable(getattr(type(self), name, callable)):  # one of a method's name is a key
            raise ValueError(f"{type(self).__name__}: no layer can be called {name!r}, the name of an attribute")
        self._layers[name] = _checked(self, name, module, Callable)

    def __getattr__(self, name: str) -> Any:
        layers = vars(self).get("_layers", {})
        if name not in layers:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return layers[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module) or name in vars(self).get("_layers", ()):
            self._place(name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._layers:
            del self._layers[name]
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._layers]

    # --- layers as a list

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._layers.values())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Sequential(dict(list(self._layers.items())[index]))
        return list(self)[_checked_index(self, index)]

    def __setitem__(self, index: Any, module: Any) -> None:
        self._place(list(self._layers)[_checked_index(self, index)], module)

    def __delitem__(self, index: Any) -> None:
        layers = list(self)
        del layers[index if isinstance(index, slice) else _checked_index(self, index)]
        self._number(layers)

    def _number(self, layers: Iterable[Any]) -> None:
        self._layers = {str(i): layer for i, layer in enumerate(layers)}

    def insert(self, index: int, module: Any) -> Sequential:  # type: ignore[override]
        """Put a module in front of the one at `index`, or, where that is the length, at the end; return the container.

        Raises IndexError for an index beyond.
        """
        place = len(self) if index == len(self) else _checked_index(self, index)
        layers = [*self]
        layers.insert(place, _checked(self, place, module, Callable))
        self._number(layers)
        return self

    def append(self, module: Any) -> Sequential:  # type: ignore[override]
        """Put a module at the end, and return the container."""
        self._place(next(name for name in map(str, count(len(self))) if name not in self._layers), module)
        return self

    def extend(self, modules: Iterable[Any]) -> Sequential:  # type: ignore[override]
        """Put modules at the end, and return the container."""
        for i, module in enumerate(given := _several(self, modules), len(self)):
            _checked(self, str(i), module, Callable)
        for module in given:
            self.append(module)
        return self

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *_sequential("+", other))

    def __iadd__(self, other: Sequential) -> Sequential:  # type: ignore[override,misc]
        return self.extend(_sequential("+=", other))

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*self._repeated(times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:  # type: ignore[misc]
        return self.extend(self._repeated(times)[len(self) :])

    def _repeated(self, times: int) -> list[Any]:
        if not isinstance(times, int):
            raise TypeError(f"Sequential: can be multiplied by an integer, got a {type(times).__name__}")
        if times < 1:
            raise ValueError(f"Sequential: can be multiplied by a positive integer, got {times}")
        return [*self] * times


def _sequential(sign: str, other: Any) -> Sequential:
    if not isinstance(other, Sequential):
        raise TypeError(f"Sequential: {sign} takes a Sequential, got a {type(other).__name__}")
    return other


class ModuleList(Module, MutableSequence[Any]):
    """A list of modules, named "0", "1", ... in the order of the list, with the methods of a list.

    Raises TypeError for what is no module, IndexError for an index that there is not.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self._layers: list[Module] = []
        self.extend(() if modules is None else modules)

    def _members(self) -> Iterator[tuple[str, Any]]:
        yield from super()._members()
        yield from ((str(i), module) for i, module in enumerate(self._layers))

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._layers)

    def __getitem__(self, index: Any) -> Any:
        return (
            ModuleList(self._layers[index]) if isinstance(index, slice) else self._layers[_checked_index(self, index)]
        )

    def __setitem__(self, index: Any, module: Any) -> None:
        if isinstance(index, slice):
            self._layers[index] = self._all_checked(module)
        else:
            self._layers[_checked_index(self, index)] = _checked(self, index, module)

    def __delitem__(self, index: Any) -> None:
        del self._layers[index if isinstance(index, slice) else _checked_index(self, index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(self).extend(other)

    def insert(self, index: int, value: Module) -> None:
        """Put a module in front of the one at `index`."""
        self._layers.insert(index, _checked(self, index, value))

    def append(self, value: Module) -> ModuleList:  # type: ignore[override]
        """Put a module at the end, and return the list."""
        self.insert(len(self), value)
        return self

    def extend(self, values: Iterable[Module]) -> ModuleList:  # type: ignore[override]
        """Put modules at the end, and return the list."""
        self._layers += self._all_checked(values, len(self))
        return self

    def _all_checked(self, modules: Any, first: int = 0) -> list[Any]:
        return [_checked(self, i, module) for i, module in enumerate(_several(self, modules), first)]


class ModuleDict(Module, MutableMapping[str, Any]):
    """A dictionary of modules, in the order in which they were put in, with the methods of a dictionary.

    Raises TypeError for what is no module and for keys that are not strings, ValueError for one that is empty or has a
    dot, KeyError for one that there is not.
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        self._layers: dict[str, Module] = {}
        self.update(() if modules is None else modules)

    def _members(self) -> Iterator[tuple[str, Any]]:
        yield from super()._members()
        yield from self._layers.items()

    __eq__ = object.__eq__  # a module is itself, whatever is in it
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __getitem__(self, key: str) -> Any:
        return self._layers[key]

    def __setitem__(self, key: str, module: Any) -> None:
        self._layers[_checked_name(self, key)] = _checked(self, key, module)

    def __delitem__(self, key: str) -> None:
        del self._layers[key]

    def update(self, modules: Any = (), /, **named: Module) -> None:
        """Put in the modules of a dictionary, or of (key, module) pairs, those of the same key in place of others."""
        try:
            given = dict(modules, **named)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{type(self).__name__}.update: expected a dictionary or pairs: {error}") from None
        self._layers.update({_checked_name(self, key): _checked(self, key, module) for key, module in given.items()})
