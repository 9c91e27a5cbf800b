"""The tape: how operations are recorded, and how gradients walk back over them.

An operation is a function of raw arrays and, for each differentiable input, one rule: a function of the incoming
gradient `g` and of whatever it names from

    ans                the operation's answer
    <parameter>        an input or option of the operation
    <parameter>_shape  only its shape: the array itself is not kept
    residual           what the operation returns beside its answer, when declared

What a rule names is what the tape keeps, and nothing else. Rules are written with operators, NumPy's functions (which
a Tensor answers itself) and operations: all work on raw arrays and on Tensors alike. An ordinary backward hands them
raw arrays and runs at NumPy's speed; with `create_graph` they get Tensors, so that the backward is itself recorded and
any order of derivative works with no second rule.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import linecache
import threading
import types
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ContextDecorator
from contextvars import ContextVar
from heapq import heappop, heappush
from typing import Any, ClassVar, TypeVar, cast

import numpy as np

from minigrad.backend import Array, activate, device_of, is_array

Rule = Callable[..., Any]
NOTHING: list[Any] = []
"""Stands for the values of a rule that names none: it is called with the gradient alone."""
F = TypeVar("F", bound=Callable[..., Any])
tick = itertools.count(1).__next__
"""The tape's clock: every recorded operation and every write to a tensor takes the next number."""


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook out again, as does leaving a `with` block."""

    def __init__(self, hooks: dict[int, Callable[..., Any]], hook: Callable[..., Any]) -> None:
        self._hooks, self._key = hooks, tick()
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook out; doing so twice is no error."""
        self._hooks.pop(self._key, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Write:
    """When an array was last written in place: `now()` notes that it was written again."""

    __slots__ = ("array", "when")
    latest: ClassVar[int] = 0  # over all arrays
    noted: ClassVar[dict[int, Write]] = {}  # by id of the array, while it lives

    def __init__(self, array: Array) -> None:
        self.array = weakref.ref(array, functools.partial(Write.noted.pop, id(array)))
        self.when = 0
        Write.noted[id(array)] = self

    @staticmethod
    def of(array: Array) -> Write:
        """The note of an array, or of the one whose memory it is a view of: views come and go."""
        owner = _owner(array)
        return Write.noted.get(id(owner)) or Write(owner)

    def now(self) -> None:
        """The array was written."""
        self.when = Write.latest = tick()


def _owner(array: Array) -> Array:
    """The array that owns the memory of this one."""
    base = array.base
    while base is not None:
        if is_array(base):
            array = base
        base = getattr(base, "base", None)
    return array


class Variable:
    """What the tape knows of a tensor. `minigrad.tensor` makes it the class that people use."""

    __slots__ = ("__weakref__", "_grad", "_requires_grad", "data", "hooks", "node")

    Answer: ClassVar[type[Any]]  # the class of an operation's answer: Tensor

    def __init__(self, data: Array, node: Node | None = None, requires_grad: bool = False) -> None:
        if data.__class__ is not np.ndarray and not is_array(data) and not isinstance(data, np.generic):
            raise TypeError(
                f"{type(self).__name__}: expected an array, got a {type(data).__name__}; minigrad.tensor makes one of "
                "numbers"
            )
        self.data = data
        self.node = node
        self._requires_grad = requires_grad
        self._grad: Any = None
        self.hooks: dict[int, Callable[[Any], Any]] | None = None

    def mark_written(self) -> None:
        """Note that the array was written in place: a backward that needs the old values raises."""
        Write.of(self.data).now()


def raw(value: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return value.data if isinstance(value, Variable) else value


def constant(operation: str, parameter: str, value: Any) -> Any:
    """`raw` of an argument that has no derivative. Raises TypeError, while recording, where it wants a gradient."""
    if isinstance(value, Variable) and value._requires_grad and _recording.get():
        raise TypeError(
            f"{operation}: {parameter} requires a gradient, but has no derivative here; its detach() is a constant"
        )
    return raw(value)


class Node:
    """One recorded operation: the way from the gradient of its answer to those of its inputs.

    The generated functions make nodes and fill all slots: a call of `__init__` would take as long as that.

    order: the tape's clock when it was recorded.
    edges: for each rule, None where its input wants no gradient; else (parent, rule, values, fit): the node of the
        input (a leaf is its own), the rule, the raw value that it names (a tuple of several; NOTHING), and the
        shape and type that its gradient must be brought to, or None where it has them already.
    retained: the tensor (weakly) whose `.grad` is to be filled though it was computed, where `retain_grad` was called.
    remade: the raw values from which `residual` is computed again, where a rule names it.
    """

    __slots__ = ("edges", "hooks", "operation", "order", "remade", "retained")

    order: int
    operation: Operation
    edges: Any
    remade: tuple[Any, ...]
    hooks: dict[int, Callable[[Any], Any]] | None
    retained: Any


_recording = ContextVar("recording", default=True)  # read in half the time that a threading.local takes


class _GradMode:
    """Whether this thread, or the task of an event loop that it runs, records operations."""

    @property
    def enabled(self) -> bool:
        return _recording.get()

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        _recording.set(enabled)


grad_mode = _GradMode()


class _GradSwitch(ContextDecorator):
    def __init__(self, enabled: bool) -> None:
        self.enabled = bool(enabled)
        self._before: list[bool] = []

    def _recreate_cm(self) -> _GradSwitch:
        return _GradSwitch(self.enabled)  # a decorated function may run in several threads at once

    def __call__(self, function: F) -> F:
        generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        if generator or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"no_grad, enable_grad: {function.__name__} is a {'generator' if generator else 'coroutine'}, whose "
                "body runs after the call; put a `with` block into it"
            )
        return super().__call__(function)

    def __enter__(self) -> None:
        self._before.append(grad_mode.enabled)
        grad_mode.enabled = self.enabled

    def __exit__(self, *_: object) -> None:
        grad_mode.enabled = self._before.pop()


class set_grad_enabled(_GradSwitch):  # noqa: N801 (used like a function)
    """Record operations in this thread, or don't: from this call on, or for the length of a `with` block.

    A decorator too. `no_grad` says what holds for threads, tasks and generators.
    """

    def __init__(self, enabled: bool) -> None:
        super().__init__(enabled)
        super().__enter__()

    def __call__(self, function: F) -> F:
        self.__exit__()  # for its calls only
        return super().__call__(function)

    def __enter__(self) -> None:
        if not self._before:  # left before
            super().__enter__()


def no_grad() -> _GradSwitch:
    """Record nothing in this thread inside `with no_grad():` (also a decorator).

    The mode is that of a thread, or of a task of an event loop. A thread, of a pool too, begins with recording, even
    where it is started inside the block. A task begins in the mode of whoever creates it, as does what
    `asyncio.to_thread` runs; and so does every thread where Python hands the context on (`thread_inherit_context` in
    `sys.flags`, the default of builds without the GIL).

    A generator that yields inside the block leaves its caller in this mode until it goes on or is closed: end the block
    before each `yield`. The body of a generator or a coroutine runs after the call, so that to decorate one raises
    TypeError. Each thread or task needs an object of its own: write `with no_grad():`, or decorate.
    """
    return _GradSwitch(False)


def enable_grad() -> _GradSwitch:
    """Record again inside a `no_grad` block (also a decorator)."""
    return _GradSwitch(True)


EXPLAINED = (IndexError, ValueError, TypeError, AttributeError)
"""Errors that are raised again with the operation and its arguments in their text; others pass as they are."""

_writing = threading.Lock()


def _first_call(*arguments: Any, **options: Any) -> Any:
    """What the function of an operation does before it is written; its names are those of the function's own scope."""
    return _write()(*arguments, **options)  # type: ignore[name-defined]  # noqa: F821


class Operation:
    """The table entry of an operation: its forward function, and its rules with what each of them names."""

    def __init__(
        self, forward: Callable[..., Any], rules: Sequence[Rule | None], broadcasts: bool, residual: Rule | None
    ) -> None:
        self.signature = _signature(forward)
        self.name = getattr(forward, "__name__", type(forward).__name__).strip("_")
        self.forward = forward
        self.parameters = tuple(self.signature.parameters)
        self.inputs = self.parameters[: len(rules)]
        self.rules = rules
        self.names = [tuple(_signature(rule).parameters)[1:] if rule is not None else () for rule in rules]
        self.broadcasts = broadcasts
        self.residual = residual
        self.residual_names = tuple(_signature(residual).parameters) if residual is not None else ()
        self._check()

    def _check(self) -> None:
        """Raise where the rules don't fit the function, or the function not the text that is made of it."""
        name = f"differentiable: {self.name}"
        for parameter in self.signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"{name}: {parameter} stands for any number of arguments; name each")
        taken = {"ans", "isinstance", "residual", *(f"{p}_" for p in self.parameters)}
        for p in self.parameters:
            if p in taken or p.startswith("_"):
                raise ValueError(f"{name}: a parameter can't be called {p}, a name that the tape uses itself")
        if len(self.rules) > len(self.parameters):
            raise TypeError(f"{name}: {len(self.rules)} rules for {len(self.parameters)} parameter(s)")
        of_inputs = [*self.parameters, *(f"{p}_shape" for p in self.parameters)]
        of_rules = ["ans", *(["residual"] if self.residual else []), *of_inputs]
        named = {f"rule {i}": (names, of_rules) for i, names in enumerate(self.names)}
        for what, (names, known) in (named | {"residual": (self.residual_names, of_inputs)}).items():
            unknown = [n for n in names if n not in known]
            if unknown:
                raise ValueError(f"{name}: {what} names {', '.join(unknown)}; known are {', '.join(known)}")

    def compiled(self) -> Callable[..., Any]:
        """The function that people call: it unwraps Tensors, calls `forward`, and records a node where one is wanted.

        Its text is generated, one straight line for this operation's parameters: loops over arguments and names
        would cost more than most operations on small arrays do. It is written at the first call: to write all of them
        takes 25 ms, a third of the time that an import of minigrad takes without.
        """
        scope: dict[str, Any] = {
            "_EXPLAINED": EXPLAINED, "_Node": Node, "_Variable": Variable, "_activate": activate, "_apart": apart,
            "_asarray": np.asarray, "_constant": constant, "_explained": explained, "_forward": self.forward,
            "_generic": np.generic, "_ndarray": np.ndarray, "_new": object.__new__, "_nothing": NOTHING,
            "_operation": self, "_recording": _recording.get, "_tick": tick,
            "_write": lambda: self._write(function, scope),
            **{f"_rule{i}": rule for i, rule in enumerate(self.rules)},
        }  # fmt: skip
        function: Any = functools.wraps(self.forward)(types.FunctionType(_first_call.__code__, scope))
        del function.__wrapped__
        function.__signature__ = self.signature
        function.operation = self
        return cast("Callable[..., Any]", function)

    def _write(self, function: Any, scope: dict[str, Any]) -> Any:
        """Give the function the code of its own that its later calls run."""
        with _writing:
            if function.__code__ is not _first_call.__code__:  # another thread was first
                return function
            text = self.source()
            filename = f"<operation {self.name}>"
            linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
            scope["_Tensor"] = Variable.Answer
            exec(compile(text, filename, "exec"), scope)
            self.backs = [scope[f"_back{i}"] for i in range(len(self.rules))]
            parameters = self.signature.parameters.values()
            defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
            by_keyword = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
            function.__defaults__ = tuple(value for name, value in defaults.items() if name not in by_keyword)
            function.__kwdefaults__ = {name: value for name, value in defaults.items() if name in by_keyword}
            function.__code__ = scope["_call"].__code__  # last: another thread may be calling
        return function

    def source(self) -> str:
        """The text of the compiled function. A parameter `x` is the argument as passed, `x_` its raw array.

        Names of its own begin with an underscore, but for `ans` and `residual`.
        """
        parameters = self.signature.parameters
        bare = [p.replace(annotation=p.empty, default=p.empty) for p in parameters.values()]  # defaults need no text
        raw = ", ".join(f"{p.name}={p.name}_" if p.kind is p.KEYWORD_ONLY else f"{p.name}_" for p in bare)
        shown = ", ".join(f"{p!r}: {p}" for p in parameters)
        bits = {name: 1 << i for i, (name, rule) in enumerate(zip(self.inputs, self.rules, strict=True)) if rule}
        lines = []
        for i, names in enumerate(self.names):
            if len(names) < 2:  # a rule that names one value takes it as it is kept
                lines.append(f"_back{i} = _rule{i}")
                continue
            lines += [
                f"def _back{i}(_g, _values):",
                f"    {', '.join(names)} = _values",
                f"    _answer = _rule{i}(_g, {', '.join(names)})",
                f"    return _apart(_answer) if {' or '.join(f'_answer is {name}' for name in names)} else _answer",
            ]
        lines += [f"def _call{inspect.Signature(bare)}:", "    _wanted = _tensors = _elsewhere = 0"]
        arrays = []
        for p, parameter in parameters.items():
            lines.append(f"    {p}_ = {p}")
            if p not in self.inputs and isinstance(parameter.default, int | str | None):  # an axis or the like
                continue
            arrays.append(f"{p}_")
            lines += [
                f"    if isinstance({p}, _Variable):",
                f"        {p}_ = {p}.data",
                f"        if {p}_.__class__ is not _ndarray:",
                "            _elsewhere = 1",
                "        _tensors = 1",
            ]
            if p in bits:
                lines += [f"        if {p}._requires_grad:", f"            _wanted |= {bits[p]}"]
            elif bits and p not in self.inputs:
                lines += [f"        if {p}._requires_grad:", f"            _constant({self.name!r}, {p!r}, {p})"]
        lines += [
            "    try:",
            "        if _elsewhere:",
            f"            _activate({', '.join(arrays)})",
            f"        ans{', residual' if self.residual else ''} = _forward({raw})",
            "    except _EXPLAINED as _error:",
            f"        raise _explained({self.name!r}, {{{shown}}}, _error) from _error",
            "    if not _tensors:",
            "        return ans",
            "    if ans.__class__ is not _ndarray and isinstance(ans, _generic):",
            "        ans = _asarray(ans)",
            *filled(
                "_answer",
                "_new(_Tensor)",
                data="ans",
                node="None",
                _requires_grad="False",
                _grad="None",
                hooks="None",
            ),
        ]
        if bits:
            lines += [
                "    if _wanted and _recording():",
                *self._recording(bits),
                "        _answer.node, _answer._requires_grad = _node, True",
            ]
        return "\n".join([*lines, "    return _answer"]) + "\n"

    def _recording(self, bits: dict[str, int]) -> list[str]:
        def raw(name: str) -> str:
            return f"{name}_" if name in self.parameters else name.replace("_shape", "_.shape")

        def values(names: Sequence[str]) -> str:
            if len(names) < 2:
                return raw(names[0]) if names else "_nothing"
            return f"({', '.join(map(raw, names))})"

        lines = []
        edges = []
        dtype, shape = "ans.dtype", "ans.shape"
        pair = self.broadcasts and len(bits) == len(self.parameters) == 2
        if pair:  # where both are alike, so is the answer
            x, y = (f"{p}_" for p in bits)
            lines.append(f"        _alike = _wanted == 3 and {x}.dtype is {y}.dtype and {x}.shape == {y}.shape")
        elif self.broadcasts and len(bits) > 1:
            dtype, shape = "_dtype", "_shape"
            lines.append("        _dtype, _shape = ans.dtype, ans.shape")
        for i, p in enumerate(self.inputs):
            if p not in bits:
                edges.append("None")
                continue
            fit = "None"
            if len(self.parameters) > 1:  # the only input has the type of the answer
                fits = f"{p}_.dtype is {dtype}" + (f" and {p}_.shape == {shape}" if self.broadcasts else "")
                fit = f"None if {'_alike or ' if pair else ''}{fits} else ({p}_.shape, {p}_.dtype)"
            edge = f"({p}.node or {p}, _back{i}, {values(self.names[i])}, {fit})"
            edges.append(edge if len(bits) == 1 else f"{edge} if _wanted & {bits[p]} else None")
        node = filled(
            "_node", "_Node()", order="_tick()", operation="_operation", edges=f"({', '.join(edges)},)",
            remade=f"({''.join(f'{raw(name)}, ' for name in self.residual_names)})", hooks="None", retained="None",
        )  # fmt: skip
        return [*lines, *(f"    {line}" for line in node)]


def filled(name: str, made: str, **slots: str) -> list[str]:
    """The lines of a generated function that make an object and fill its slots."""
    return [f"    {name} = {made}", *(f"    {name}.{slot} = {value}" for slot, value in slots.items())]


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """The parameters of an operation or of a rule."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # what is no function, and some that are built in
        raise TypeError(f"differentiable: expected a function whose parameters have names, got {function!r}") from None


def differentiable(
    *rules: Rule | None, broadcasts: bool = False, residual: Rule | None = None
) -> Callable[[F], Callable[..., Any]]:
    """Make a function of raw arrays an operation, with one rule for each of its first parameters.

    rules: each a function of the gradient `g` of the answer and of what it names: `ans`, the answer; a parameter of the
        operation; `<parameter>_shape`, its shape alone; `residual`. It gives the gradient of its input, which is summed
        over axes that were broadcast and brought to the input's type. Written with operators, NumPy's functions and
        operations, it can be differentiated in turn. A rule of None stands for a parameter that has no derivative,
        such as a condition.
        A parameter after those of the rules is unwrapped like them, unless its default is None, a string or a whole
        number: such are axes and flags, never Tensors.
    broadcasts: the inputs are broadcast against each other, so their gradients are summed back to their shapes.
    residual: the function returns (answer, residual), an intermediate too costly to compute again in the rules;
        this is how a recorded backward computes it from the Tensors of the parameters that it names.

    `gradcheck` holds rules against numerical differences.

    The function may be any whose parameters are fixed: with defaults, positional-only, keyword-only. A Tensor that
    requires a gradient and is passed for a parameter without a rule raises TypeError, unless that rule is None.

    Raises TypeError for what is no function, for *args and **options, and for more rules than parameters; ValueError
    for a rule that names something else than the above, and for a parameter called `ans`, `residual` or `_...`, which
    the tape uses itself. In a call ValueError, TypeError and IndexError of the function are raised with the operation's
    name and what each argument was; all others as they are.

    >>> import numpy as np, minigrad as mg
    >>> @mg.differentiable(lambda g, ans: g * ans * (1 - ans))
    ... def squash(x):
    ...     return 1 / (1 + np.exp(-x))
    >>> x = mg.tensor([0.0, 1.0], dtype="float64", requires_grad=True)
    >>> mg.grad(squash(x).sum(), x).numpy().round(6).tolist()
    [0.25, 0.196612]
    >>> mg.gradcheck(squash, x)
    True
    """
    return lambda forward: Operation(forward, rules, broadcasts, residual).compiled()


def walk(
    seeds: Collection[tuple[Any, Any]],
    create_graph: bool = False,
    retain_graph: bool = False,
    wanted: frozenset[Node | Variable] | None = None,
) -> list[tuple[Any, Any]]:
    """Send the gradients `seeds`, each with its node or leaf before it, back to the leaves, or to `wanted`.

    The latest node comes first: a node is recorded after all that it depends on, so once it is the latest one
    waiting, its gradient is complete. Gradients are raw arrays, or Tensors with `create_graph`.

    Returns (leaf or wanted node, gradient) pairs; a leaf that was used more than once comes more than once. Raw
    gradients of leaves may still be views.
    """
    found: list[tuple[Any, Any]] = []
    needed = None if wanted is None else _on_the_way([owner for owner, _ in seeds if owner.__class__ is Node], wanted)
    following: Node | None = None  # one of those that wait, with its gradient `onward`: a chain needs no heap
    onward: Any = None
    waiting: list[tuple[int, Node]] = []
    gradients: dict[Node, Any] = {}  # of those in the heap
    for owner, g in seeds:
        if owner.__class__ is not Node:
            found.append((owner, g if create_graph else g.copy()))
        elif needed is None or owner in needed:
            if following is None:
                following, onward = owner, g
            else:
                gradients[owner] = g
                heappush(waiting, (-owner.order, owner))
    while following is not None or waiting:
        if waiting:
            if following is not None:
                gradients[following] = onward
                heappush(waiting, (-following.order, following))
            node = heappop(waiting)[1]
            g = gradients.pop(node)
        else:
            node, g = cast("Node", following), onward
        following = None
        if node.hooks:
            g = run_hooks(node.hooks, g)
        if node.retained is not None and wanted is None and node.retained() is not None:
            found.append((node.retained(), g if create_graph else g.copy()))
        if wanted is not None and node in wanted:
            found.append((node, g))
            if not _leads_to(node, needed):  # what lies behind it stays as it is
                continue
        if node.edges is None:
            raise freed(node)
        if Write.latest > node.order:
            check_unwritten(node, create_graph)
        if g.__class__ is not np.ndarray and not isinstance(g, np.generic):
            activate(raw(g))
        for edge in node.edges:
            if edge is None or (needed is not None and edge[0] not in needed):
                continue
            parent, rule, values, fit = edge
            if values is NOTHING:
                gradient = rule(g)
            else:
                gradient = rule(g, recorded_values(node, edge) if create_graph else values)
                if gradient is values:
                    gradient = apart(gradient)
            if fit is not None:
                gradient = fitted(gradient, fit[0], fit[1])
            if parent.__class__ is not Node:
                found.append((parent, gradient if gradient is not g or create_graph else g.copy()))
            elif parent is following:
                onward = onward + gradient
            elif parent in gradients:
                gradients[parent] = gradients[parent] + gradient
            elif following is None:
                following, onward = parent, gradient
            else:
                gradients[parent] = gradient
                heappush(waiting, (-parent.order, parent))
        if not retain_graph:
            node.edges = None
            node.remade = ()
    return found


def apart(gradient: Any) -> Any:
    """A copy of a gradient that is one of the values kept for its rule, which the user may have too."""
    return gradient if isinstance(gradient, Variable) else gradient.copy()


def freed(node: Node) -> RuntimeError:
    """The error of a second way back through a node."""
    return RuntimeError(
        f"backward: the graph behind {node.operation.name} was freed by an earlier backward; "
        "pass retain_graph=True to that one to go through it again"
    )


def owned(g: Any) -> Any:
    """A copy of a raw gradient, in C order."""
    return np.asarray(g) if isinstance(g, np.generic) else g.copy()


def _on_the_way(stack: list[Node], wanted: frozenset[Node | Variable]) -> set[Node | Variable]:
    """Whatever lies between the nodes of `stack` and `wanted`: other branches need no gradient."""
    first = min((owner.order if isinstance(owner, Node) else 0 for owner in wanted), default=0)
    nodes: dict[Node, None] = {}
    while stack:
        node = stack.pop()
        if node in nodes or node.order <= first:  # one recorded before all that is wanted does not depend on it
            continue
        nodes[node] = None
        if node.edges is None and node not in wanted:
            raise freed(node)
        stack += [edge[0] for edge in node.edges or () if edge is not None and edge[0].__class__ is Node]
    needed: set[Node | Variable] = set(wanted)
    for node in sorted(nodes, key=lambda node: node.order):
        if _leads_to(node, needed):
            needed.add(node)
    return needed


def _leads_to(node: Node, owners: Any) -> bool:
    """Whether an input of a node is one of some nodes and leaves."""
    return any(edge is not None and edge[0] in owners for edge in node.edges or ())


def recorded_values(node: Node, edge: tuple[Any, ...]) -> Any:
    """What a rule gets in a recorded backward: Tensors on the tape in place of raw arrays."""
    operation = node.operation
    names = operation.names[operation.backs.index(edge[1])]
    if len(names) == 1:
        return _recorded(node, names[0], edge[2])
    return [_recorded(node, name, raw) for name, raw in zip(names, edge[2], strict=True)]


def _recorded(node: Node, name: str, raw: Any) -> Any:
    operation = node.operation
    if name == "ans":
        return Variable.Answer(raw, node, True)
    if name == "residual" and operation.residual is not None:
        remade = zip(operation.residual_names, node.remade, strict=True)
        return operation.residual(*[_recorded(node, other, value) for other, value in remade])
    parent = _parent(node, name)
    if isinstance(parent, Node):
        return Variable.Answer(raw, parent, True)
    if parent is not None and parent.data is not raw:
        raise RuntimeError(
            f"backward: {name} of {operation.name}, of shape {raw.shape}, was given another array after it was used; "
            "a recorded backward needs the tensor with the value that it had"
        )
    return raw if parent is None else parent


def _parent(node: Node, name: str) -> Any:
    """The node or leaf of the input of that name, or None for a constant or an option."""
    inputs = node.operation.inputs
    edge = node.edges[inputs.index(name)] if name in inputs else None
    return None if edge is None else edge[0]


def check_unwritten(node: Node, create_graph: bool) -> None:
    """Raise RuntimeError where a value that a rule needs shares memory with an array written since it was used."""
    operation = node.operation
    used = [(operation.residual_names, node.remade)] if node.remade and create_graph else []
    for names, edge in zip(operation.names, node.edges, strict=True):
        if edge is not None:
            used.append((names, (edge[2],) if len(names) == 1 else edge[2]))
    for names, values in used:
        for name, value in zip(names, values, strict=True):
            if value.__class__ is not tuple or not name.endswith("_shape"):
                _check_unwritten(value, node, "the answer" if name == "ans" else name)


def _check_unwritten(value: Any, node: Node, what: str) -> None:
    if isinstance(value, (tuple, list)):  # such as a key with arrays in it
        for part in value:
            _check_unwritten(part, node, what)
    elif is_array(value):
        write = Write.noted.get(id(_owner(value)))
        if write is not None and write.when > node.order:
            raise RuntimeError(
                f"backward: {what} of {node.operation.name}, of shape {value.shape}, was written in place after it "
                "was used; its gradient needs the value that it had"
            )


def fitted(g: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """`g` summed over the axes along which an input was broadcast, in that input's type."""
    if g.shape != shape:
        axes = _broadcast_axes(shape, g.shape)
        g = np.add.reduce(g, axis=axes) if g.__class__ is np.ndarray else g.sum(axis=axes)  # what `sum` calls
        if g.shape != shape:
            g = g.reshape(shape)
    return g if g.dtype is dtype or g.dtype == dtype else g.astype(dtype)


@functools.lru_cache(maxsize=256)
def _broadcast_axes(shape: tuple[int, ...], full: tuple[int, ...]) -> int | tuple[int, ...]:
    """The axes of the shape `full` that an array of `shape` was repeated along."""
    extra = len(full) - len(shape)
    axes = (*range(extra), *(i + extra for i, n in enumerate(shape) if n == 1 and full[i + extra] != 1))
    return axes[0] if len(axes) == 1 else axes


def run_hooks(hooks: dict[int, Callable[[Any], Any]], g: Any) -> Any:
    """Let each hook see a gradient as a Tensor, and replace it where the hook returns one of its shape and type."""
    raw = not isinstance(g, Variable)
    tensor = owned(g) if raw else g
    if is_array(tensor):  # a RowSparse is shown as it is
        tensor = Variable.Answer(tensor)
    for hook in tuple(hooks.values()):
        answer = hook(tensor)
        if answer is None:
            continue
        if is_array(answer):
            answer = Variable.Answer(answer)
        if not isinstance(answer, Variable | type(tensor)):
            raise TypeError(f"a gradient hook must return a Tensor, an array or None, got a {type(answer).__name__}")
        if answer.data.shape != g.shape:
            raise ValueError(f"a gradient hook returned shape {answer.data.shape} for a gradient of shape {g.shape}")
        tensor = fitted(answer, g.shape, g.dtype)
    return owned(tensor.data) if raw else tensor


def described(value: Any) -> str:
    """An argument as an error message shows it."""
    data = raw(value)
    if is_array(data):
        return f"shape {data.shape} {data.dtype} on {device_of(data)}"
    if isinstance(data, tuple) and any(is_array(raw(part)) for part in data):
        return f"({', '.join(map(described, data))})"
    return repr(data) if isinstance(data, int | float | complex | str | tuple | None) else f"a {type(data).__name__}"


def explained(name: str, arguments: Mapping[str, Any], error: Exception) -> Exception:
    """One of the errors `EXPLAINED` in the words of the operation, with what each of its arguments was."""
    kind = next(kind for kind in EXPLAINED if isinstance(error, kind))
    shown = ", ".join(f"{argument}: {described(value)}" for argument, value in arguments.items())
    said = str(error).removeprefix(f"{name}: ")  # as some of NumPy's begin
    devices = sorted({device_of(raw(value)) for value in arguments.values() if is_array(raw(value))})
    if len(devices) > 1 and kind is not IndexError:
        said = f"expected arrays on one device, not on {' and '.join(devices)}; `.to(device)` moves them"
    if kind is AttributeError:  # what is no array has none of an array's attributes
        return TypeError(f"{name}: {said}; expected arrays or Tensors ({shown})")
    return kind(f"{name}: {said} ({shown})")


def explaining(function: F) -> F:
    """Have what a function made of operations raises name it and its arguments, as an operation's own errors do."""
    name, signature = function.__name__, inspect.signature(function)

    @functools.wraps(function)
    def explained_function(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except EXPLAINED as error:
            if str(error).startswith(name):  # it does already
                raise
            inner = error.__cause__  # what an operation explained names that one, and its arguments
            told = inner if isinstance(inner, Exception) else error
            raise explained(name, signature.bind(*args, **options).arguments, told) from error

    return cast("F", explained_function)
