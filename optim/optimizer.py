"""Optimizer: the base class, with the contract of torch.optim."""

from __future__ import annotations

import copy
import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypedDict, Unpack

import numpy as np

from minigrad import RowSparse, Tensor, backend, enable_grad
from minigrad.checks import Check, flag
from minigrad.tape import RemovableHandle

Closure = Callable[[], Any]
Hook = Callable[..., Any]


_EXECUTION = "how a step runs is chosen by `with optim.execution(...)`"
TORCHS_OWN = {
    "foreach": _EXECUTION,
    "fused": _EXECUTION,
    "capturable": "minigrad.cuda.capture puts a step into a CUDA graph",
    "differentiable": "optim.functional.pure makes a step that is differentiated",
}
"""Arguments of torch's optimizers that say how a step is run, and what stands for them here."""


class Options(TypedDict, total=False):
    """What every optimizer's constructor takes by name, beside its settings: see `Optimizer`."""

    skip_nonfinite: bool


class Optimizer:
    """Base class of all optimizers; subclass it, give it `step`, and torch's habits hold.

    params: parameters, or (name, parameter) pairs, or dictionaries, each a group with settings of its own under
        their names and its parameters under "params". Lists, tuples and generators; no sets, which have no order.
    defaults: the settings of a group that does not give its own. A number may be an array or a Tensor of shape () too;
        it becomes a Python number, so that a later change of the Tensor is not seen, where torch keeps the Tensor.
    skip_nonfinite: whether a step that finds a NaN or an infinity in any gradient changes nothing but `skipped`, which
        counts such steps. On a GPU each step then waits for the answer. An attribute too, that may be changed; it is no
        part of `state_dict`. Default False: as in torch, they go into the parameters.

    repeats: whether a parameter stands twice in a group; it is then updated twice a step.
    steps_taken: how often `step` has run, for schedulers to tell the order of calls from.
    param_groups: a list of dictionaries: "params" and the group's settings, which may be changed between steps.
    state: parameter -> dictionary of what the algorithm remembers of it.

    Raises TypeError for what is no parameter and for unknown arguments, ValueError for an empty list, a parameter in
    two groups, settings out of range, and a group without a required setting.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any], **options: Unpack[Options]) -> None:
        name = type(self).__name__
        unknown = options.keys() - Options.__annotations__
        if unknown:
            known = ", ".join(defaults)
            hints = dict.fromkeys(TORCHS_OWN[key] for key in sorted(unknown & TORCHS_OWN.keys()))
            texts = [f"unknown argument {', '.join(sorted(unknown))}", f"it has {known}", *hints]
            raise TypeError(f"{name}: {'; '.join(texts)}")
        self.defaults = defaults
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._without_hooks()
        self.steps_taken = 0
        self.skip_nonfinite = flag(f"{name}: skip_nonfinite", options.get("skip_nonfinite", False))
        self.skipped = 0
        self.repeats = False
        self._stepping = False
        if isinstance(params, Tensor):
            raise TypeError(
                "params must be an iterable of tensors or dictionaries, got a single Tensor; put it in a list"
            )
        groups = list(_ordered(params))
        if not groups:
            raise ValueError(
                "params: got no parameters (an empty list, a generator that was already used up, or a model whose "
                "layers stand in a plain list or dictionary: use nn.ModuleList or nn.ModuleDict)"
            )
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        prepared: list[dict[str, Any]] = []
        for group in groups:
            prepared.append(self._prepared_group(group, prepared))
        self.param_groups = prepared

    numbers: ClassVar[tuple[str, ...]] = ()
    """Keys of a parameter's state, beside "step", that hold one number; where torch has tensors, they are unpacked."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = _counted(cls.step)  # type: ignore[method-assign]

    # --- what a subclass gives

    def step(self, closure: Closure | None = None) -> Any:
        """Update the parameters once.

        closure: clears the gradients, computes the loss, calls backward, returns the loss. Returns that loss.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step()")

    capturable: ClassVar[bool] = False
    """Whether `step` may be part of a captured CUDA graph: whatever its host computes anew reaches each replay."""

    ranges: ClassVar[dict[str, Check]] = {}
    """Setting -> what it must be; checked in the constructor, in groups, and on load."""

    def validate(self, group: dict[str, Any]) -> None:
        """Check each setting that `ranges` lists, and bring it to Python numbers in place.

        Raises ValueError or TypeError that name the setting and its value.
        """
        name = type(self).__name__
        missing = [key for key in self.ranges if key not in group]
        if missing:
            raise ValueError(f"{name}: a group has no setting {', '.join(missing)}")
        wanting = [key for key in self.ranges if getattr(group[key], "requires_grad", False)]
        if wanting:
            raise TypeError(
                f"{name}: {', '.join(wanting)} requires a gradient, which a step that writes into parameters can't "
                "give; optim.functional has updates that are differentiable"
            )
        group.update({key: check(f"{name}: {key}", group[key]) for key, check in self.ranges.items()})

    # --- groups

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters with settings of their own: `{"params": ..., "lr": ...}`. The dictionary is not changed."""
        self.param_groups.append(self._prepared_group(param_group, self.param_groups))

    def _prepared_group(self, given: Any, others: list[dict[str, Any]]) -> dict[str, Any]:
        """A group with all its settings, checked, and its parameters in a list."""
        if not isinstance(given, Mapping):
            raise TypeError(f"a parameter group must be a dictionary, got a {type(given).__name__}")
        if "params" not in given:
            raise ValueError(f"a parameter group needs its parameters under 'params', got keys {list(given)}")
        params, names = _apart(given["params"])
        group = {**self.defaults, **given, "params": params, **({"param_names": names} if names else {})}
        if params and any(("param_names" in g) != ("param_names" in group) for g in others if g["params"]):
            raise ValueError("params: either the parameters of all groups have names or those of none")
        present = {id(p) for g in others for p in g["params"]}
        if any(id(p) in present for p in params):
            raise ValueError("params: a parameter stands in more than one group")
        self.validate(group)
        if len({id(p) for p in params}) != len(params):
            self.repeats = True
            warnings.warn("a parameter stands twice in one group; it will be updated twice a step", stacklevel=4)
        return group

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with `set_to_none=False`, write zeros into them."""
        for group in self.param_groups:
            for p in group["params"]:
                p.zero_grad(set_to_none)

    # --- steps

    def _evaluate(self, closure: Closure | None) -> Any:
        if closure is None:
            return None
        if not callable(closure):
            raise TypeError(f"step: closure must be a function, got a {type(closure).__name__}")
        with enable_grad():
            return closure()

    def _check_capture(self) -> None:
        name = type(self).__name__
        if not self.capturable:
            backend.refuse(f"a step of {name}, which computes on the host,")
        if self._pre_hooks or self._post_hooks:
            backend.refuse(f"a step of {name} with hooks, which a replay would not call,")
        if self.skip_nonfinite:
            backend.refuse(f"a step of {name} with skip_nonfinite, which waits for the gradients,")

    def _expect_gradients(self) -> None:
        """Raise RuntimeError where no parameter has a gradient: the first step asks, later ones do nothing."""
        params = [p for group in self.param_groups for p in group["params"]]
        if params and all(p.grad is None for p in params):
            raise RuntimeError(
                f"{type(self).__name__}.step: no parameter has a gradient; call backward() on a loss that depends on "
                "them first, inside the closure if there is one"
            )

    def _skips(self) -> bool:
        """Whether a gradient is not finite, so that a step with `skip_nonfinite` is skipped; it is counted then."""
        gradients = (p.grad for group in self.param_groups for p in group["params"] if p.grad is not None)
        arrays = (g.values if isinstance(g, RowSparse) else g.data for g in gradients)
        if all(map(_is_finite, arrays)):
            return False
        self.skipped += 1
        return True

    def _run_pre_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        for hook in tuple(self._pre_hooks.values()):
            changed = hook(self, (self, *args), kwargs)
            if changed is None:
                continue
            match changed:
                case (tuple() as given, dict() as kwargs) if given and given[0] is self:
                    args = given[1:]
                case _:
                    raise RuntimeError(
                        f"a step pre-hook must return None or (args, kwargs), with the optimizer first in args, "
                        f"got {changed!r}"
                    )
        return args, kwargs

    def register_step_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return new (args, kwargs).

        As in torch, the optimizer stands first in args too.
        """
        return RemovableHandle(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return RemovableHandle(self._post_hooks, hook)

    # --- saving

    def state_dict(self) -> dict[str, Any]:
        """A copy of state and settings, in torch's layout: parameters are numbered across the groups.

        {"state": {number: {name: array or number}}, "param_groups": [{"lr": ..., "params": [numbers]}]}. Arrays are
        NumPy's. A parameter without state has no entry: before its first step, but for Adagrad's, whose state is there
        from the start, and after it where the settings need no state.
        """
        for hook in tuple(self._saving_hooks.values()):
            hook(self)
        saved: dict[str, Any] = self._changed(self._saved_hooks, self._packed())
        return saved

    def _packed(self) -> dict[str, Any]:
        numbers = {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        groups = [
            {
                **{k: copy.deepcopy(v) for k, v in group.items() if k != "params"},
                "params": [numbers[id(p)] for p in group["params"]],
            }
            for group in self.param_groups
        ]
        state = {
            numbers[id(key)] if isinstance(key, Tensor) else key: _saved(entry)
            for key, entry in self.state.items()
            if entry != {}
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a saved state: settings and state are copied in, by parameter name where both sides have them.

        Takes what `state_dict` gives, and the state of torch's optimizer of the same name. State arrays take the
        parameter's type and device; a parameter that the state does not know is fresh.

        Raises ValueError for groups or shapes that don't fit, unknown or incomplete entries, and settings out of
        range. When it raises, nothing has changed.
        """
        if isinstance(state_dict, Mapping):
            state_dict = self._changed(self._loading_hooks, copy.copy(state_dict))
        self._become(*self._loaded(state_dict))
        for hook in tuple(self._loaded_hooks.values()):
            hook(self)

    def _become(self, groups: list[dict[str, Any]], state: defaultdict[Any, Any]) -> None:
        self.param_groups, self.state = groups, state

    def _changed(self, hooks: dict[int, Hook], state_dict: Any) -> Any:
        """What hooks make of a state: each changes it in place, or returns another."""
        for hook in tuple(hooks.values()):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        return state_dict

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` before each `state_dict`; with `prepend`, before the hooks that are there already."""
        return _registered(self._saving_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` after each `state_dict`: it may change the dictionary, or return another.

        prepend: before the hooks that are there already, not after them.
        """
        return _registered(self._saved_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before each `load_state_dict`: it may return another state to load.

        As in torch, the hook gets a shallow copy: new keys and values in it stay out of the caller's dictionary,
        changes within "state" and "param_groups" don't.

        prepend: before the hooks that are there already, not after them.
        """
        return _registered(self._loading_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(optimizer)` after each `load_state_dict`; with `prepend`, before the hooks there already."""
        return _registered(self._loaded_hooks, hook, prepend)

    def _without_hooks(self) -> None:
        self._pre_hooks: dict[int, Hook] = {}
        self._post_hooks: dict[int, Hook] = {}
        self._saving_hooks: OrderedDict[int, Hook] = OrderedDict()
        self._saved_hooks: OrderedDict[int, Hook] = OrderedDict()
        self._loading_hooks: OrderedDict[int, Hook] = OrderedDict()
        self._loaded_hooks: OrderedDict[int, Hook] = OrderedDict()

    def _loaded(self, saved: Mapping[str, Any]) -> tuple[list[dict[str, Any]], defaultdict[Any, Any]]:
        if not isinstance(saved, Mapping):
            raise TypeError(f"load_state_dict: expected a dictionary, got a {type(saved).__name__}")
        missing = [key for key in ("state", "param_groups") if key not in saved]
        if missing:
            raise ValueError(f"load_state_dict: no {' and no '.join(missing)} in a dictionary with keys {list(saved)}")
        if not isinstance(saved["state"], Mapping) or not isinstance(saved["param_groups"], list | tuple):
            raise TypeError("load_state_dict: expected a dictionary under 'state' and a list under 'param_groups'")
        groups, owners = self._loaded_groups(saved["param_groups"])
        state: defaultdict[Any, Any] = defaultdict(dict)
        for key, entry in saved["state"].items():
            if not isinstance(key, int | np.integer):  # what a subclass keeps for no parameter
                state[key] = copy.deepcopy(entry)
                continue
            if key not in owners:
                raise ValueError(f"load_state_dict: the state has an entry {key!r} that no group mentions")
            if not (isinstance(entry, Mapping) and all(isinstance(name, str) for name in entry)):
                raise TypeError(f"load_state_dict: expected a dictionary of names under state[{key!r}], got {entry!r}")
            p = owners[key]
            state[p] = {name: self._loaded_value(p, name, value) for name, value in entry.items()}
        return groups, state

    def _loaded_groups(self, saved: Any) -> tuple[list[dict[str, Any]], dict[Any, Tensor]]:
        """The groups with their saved settings, checked, and the parameter that each number of the state stands for."""
        for i, group in enumerate(saved):
            numbers = group.get("params") if isinstance(group, Mapping) else None
            if not isinstance(numbers, list | tuple) or not all(isinstance(n, int | np.integer) for n in numbers):
                raise TypeError(
                    f"load_state_dict: expected a list of numbers under param_groups[{i}]['params'] in {saved}"
                )
        sizes = [[len(g["params"]) for g in side] for side in (self.param_groups, saved)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"load_state_dict: groups of {sizes[0]} parameters here, of {sizes[1]} in the state")
        groups = []
        owners: dict[Any, Any] = {}
        for own, loaded in zip(self.param_groups, saved, strict=True):
            kept = {key: own[key] for key in ("params", "param_names") if key in own}
            group = own | {key: copy.deepcopy(v) for key, v in loaded.items() if key != "params"} | kept
            owners.update(zip(loaded["params"], _matched(own, loaded), strict=True))
            self.validate(group)
            groups.append(group)
        return groups, owners

    def _loaded_value(self, p: Tensor, name: str, value: Any) -> Any:
        """One value of a parameter's state, copied: an array on the parameter's device, or a number."""
        array = value.data if isinstance(value, Tensor) else value
        if not backend.is_array(array):
            if not hasattr(array, "__array__"):
                return copy.deepcopy(value)
            array = np.asarray(array)
        if array.ndim == 0 and (p.ndim or name in ("step", *self.numbers)):
            return array.item()
        if array.dtype.kind in "biufc":
            array = array.astype(p.dtype)
        return backend.to_device(array.copy(), p.device)

    # --- text, copies

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key not in ("params", "param_names")]
        return "\n".join([*lines, ")"])

    def __getstate__(self) -> dict[str, Any]:
        return {
            "defaults": self.defaults,
            "state": self.state,
            "param_groups": self.param_groups,
            "steps_taken": self.steps_taken,
            "skip_nonfinite": self.skip_nonfinite,
            "skipped": self.skipped,
            "repeats": self.repeats,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._without_hooks()
        self._stepping = False


def _registered(hooks: OrderedDict[int, Hook], hook: Hook, prepend: bool) -> RemovableHandle:
    handle = RemovableHandle(hooks, hook)
    if prepend:
        hooks.move_to_end(next(reversed(hooks)), last=False)
    return handle


def _is_finite(array: Any) -> bool:
    backend.activate(array)
    return bool(np.isfinite(array).all())


def _counted(step: Callable[..., Any]) -> Callable[..., Any]:
    """A subclass's `step` with the hooks around it, counted; once, where it calls its parent's."""

    @functools.wraps(step)
    def counted(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self._stepping:
            return step(self, *args, **kwargs)
        self._stepping = True
        try:
            recording = backend.thread.recording is not None
            if recording:
                self._check_capture()
            if self._pre_hooks:
                args, kwargs = self._run_pre_hooks(args, kwargs)
            answer = step(self, *args, **kwargs)
            if not recording:  # else its replays are counted
                self.steps_taken += 1
            if self._post_hooks:
                for hook in tuple(self._post_hooks.values()):
                    hook(self, (self, *args), kwargs)
        finally:
            self._stepping = False
        return answer

    return counted


def _apart(given: Any) -> tuple[list[Tensor], list[str]]:
    """The parameters of a group, and their names: none, or one for each."""
    params = [given] if isinstance(given, Tensor) else list(_ordered(given))
    names = [p[0] for p in params if isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str)]
    if names and len(names) != len(params):
        raise ValueError("params: either all parameters have names or none")
    if len(set(names)) != len(names):
        raise ValueError(f"params: a name stands twice in {names}")
    if names:
        params = [p for _, p in params]
    for p in params:
        if not isinstance(p, Tensor):
            hint = "; of a dictionary of parameters, pass values()" if isinstance(p, str) else ""
            hint = "; minigrad.tensor(array, requires_grad=True) makes one" if backend.is_array(p) else hint
            hint = "; pass the model's parameters()" if hasattr(p, "parameters") else hint
            raise TypeError(f"params: an optimizer takes Tensors, got a {type(p).__name__}{hint}")
        if not p.is_leaf:
            raise ValueError(f"params: a tensor of shape {p.shape} was computed; an optimizer takes leaves")
        if p.dtype.kind not in "fc":
            raise TypeError(f"params: expected floating-point parameters, got {p.dtype}")
    return params, names


def _ordered(params: Any) -> Iterator[Any]:
    if isinstance(params, set | frozenset):
        raise TypeError("params: a set has no order, which state is saved by; use a list")
    try:
        members: Iterator[Any] = iter(params)
    except TypeError:
        hint = "; pass its parameters()" if hasattr(params, "parameters") else "; call it" if callable(params) else ""
        raise TypeError(
            f"params must be an iterable of tensors or dictionaries, got a {type(params).__name__}{hint}"
        ) from None
    return members


def _matched(own: dict[str, Any], loaded: Mapping[str, Any]) -> list[Any]:
    """This group's parameters in the order of the saved group."""
    if "param_names" not in own or "param_names" not in loaded:
        return list(own["params"])
    by_name = dict(zip(own["param_names"], own["params"], strict=True))
    unknown = [name for name in loaded["param_names"] if name not in by_name]
    if unknown:
        raise ValueError(f"load_state_dict: the state has parameters {unknown}, this group {own['param_names']}")
    return [by_name[name] for name in loaded["param_names"]]


def _saved(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _saved(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_saved(part) for part in value]
    if isinstance(value, Tensor):
        value = value.data
    return backend.to_numpy(value).copy() if backend.is_array(value) else copy.deepcopy(value)
