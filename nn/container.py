"""Modules made of modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence
from typing import Any

from nn.module import Module


def _checked(owner: Module, name: object, module: Any, kind: Any = Module) -> Any:
    if not isinstance(module, kind):
        wanted = "a module" if kind is Module else "a module or a function"
        raise TypeError(f"{type(owner).__name__}: expected {wanted} at {name!r}, got a {type(module).__name__}")
    return module


class Sequential(Module):
    """Modules, or any functions of one tensor, applied one after the other.

    They are named "0", "1", ... or, where one dictionary is given, by its keys: `model.head` is then the layer "head",
    and assigning a module to it replaces that layer.

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
        named = one.items() if isinstance(one, Mapping) else enumerate(modules)
        for name, module in named:
            self._place(str(name), module)

    def forward(self, x: Any) -> Any:
        """The last module's answer."""
        for layer in self._layers.values():
            x = layer(x)
        return x

    def _place(self, name: str, module: Any) -> None:
        self._layers[name] = _checked(self, name, module, Callable)
        super().__setattr__(name, module)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Module) or name in vars(self).get("_layers", ()):
            self._place(name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._layers.pop(name, None)

    def append(self, module: Any) -> Sequential:
        """Put a module at the end, and return the container."""
        name = next(str(i) for i in range(len(self), 2 * len(self) + 1) if str(i) not in self._layers)
        self._place(name, module)
        return self

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._layers.values())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sequential(dict(list(self._layers.items())[index]))
        return list(self._layers.values())[index]

    def __setitem__(self, index: int, module: Any) -> None:
        self._place(list(self._layers)[index], module)


class ModuleList(Module, MutableSequence[Any]):
    """A list of modules, named "0", "1", ... in the order of the list, with the methods of a list.

    Raises TypeError for what is no module.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self._layers: list[Module] = []
        self.extend(() if modules is None else modules)

    def _members(self) -> Iterator[tuple[str, Any]]:
        yield from super()._members()
        yield from ((str(i), module) for i, module in enumerate(self._layers))

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, index: Any) -> Any:
        return ModuleList(self._layers[index]) if isinstance(index, slice) else self._layers[index]

    def __setitem__(self, index: Any, module: Any) -> None:
        modules = list(module) if isinstance(index, slice) else [module]
        for each in modules:
            _checked(self, index, each)
        self._layers[index] = modules if isinstance(index, slice) else module

    def __delitem__(self, index: Any) -> None:
        del self._layers[index]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def insert(self, index: int, value: Module) -> None:
        """Put a module in front of the one at `index`."""
        self._layers.insert(index, _checked(self, index, value))

    def append(self, value: Module) -> ModuleList:  # type: ignore[override]
        """Put a module at the end, and return the list."""
        self.insert(len(self), value)
        return self

    def extend(self, values: Iterable[Module]) -> ModuleList:  # type: ignore[override]
        """Put modules at the end, and return the list."""
        for module in list(values):
            self.append(module)
        return self


class ModuleDict(Module, MutableMapping[str, Any]):
    """A dictionary of modules, in the order in which they were put in, with the methods of a dictionary.

    Raises TypeError for what is no module and for keys that are not strings.
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
        if not isinstance(key, str):
            raise TypeError(f"ModuleDict: expected a string as key, got a {type(key).__name__}")
        self._layers[key] = _checked(self, key, module)

    def __delitem__(self, key: str) -> None:
        del self._layers[key]
