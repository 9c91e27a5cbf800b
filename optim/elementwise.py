"""The step of every algorithm that is one formula: gather, settle the hyperparameters, then run.

First every parameter's arrays are gathered and checked, and everything that depends on hyperparameters alone is
computed, for all groups: whatever can raise, raises here, with nothing changed. Then the formula runs on each
parameter, and an interrupt waits until it has run on all.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

import numpy as np

from minigrad import RowSparse, Tensor, backend
from minigrad.backend import in_order, read_only
from minigrad.checks import count
from minigrad.cuda import Recording
from minigrad.tape import Write, tick
from optim import captured
from optim.formula import Formula, contract
from optim.formula.cuda import Batch
from optim.formula.executions import Choice, chosen_execution, executor, launches
from optim.formula.plan import Plan
from optim.interrupt import uninterrupted
from optim.memory import beside
from optim.optimizer import Closure, Optimizer, Options
from optim.scratch import Scratch, Shape


class Binding:
    """A parameter's arrays as a plan takes them: kept from step to step while they are the same arrays."""

    __slots__ = (
        "arrays",
        "block",
        "complex",
        "copies",
        "data",
        "device",
        "dtype",
        "flat",
        "flats",
        "kind",
        "launches",
        "on_host",
        "place",
        "plain",
        "plan",
        "prepare",
        "rows",
        "run",
        "shape",
        "state",
        "write",
    )

    def __init__(self, plan: Plan, p: Tensor, state: dict[str, Any]) -> None:
        self.plan = plan
        self.state: Any = state
        self.run: Any = None  # the plan, ready for arrays of this type
        self.prepare: Any = None  # what turns its constants into what `run` takes
        self.launches = False  # whether `run` is kernels of a GPU, for many parameters at once
        self.data = data = p.data
        self.shape, self.dtype, self.device = data.shape, data.dtype, p.device
        self.on_host = isinstance(data, np.ndarray)
        self.place = None if self.on_host else data.device  # CuPy makes an object each time it is asked
        self.kind = np.ndarray if self.on_host else type(data)  # of the arrays that gradients are
        self.complex = data.dtype.kind == "c"
        self.plain = not self.complex and data.base is None
        self.write = Write.of(data)
        self.flat = _flat(data)
        self.arrays: list[tuple[str, Any]] = []  # key and array, as they stand in the state
        self.flats: list[Any] = []  # the same arrays, flat
        self.copies = [] if in_order(data) else [(data, self.flat)]  # what must be written back,
        self.rows: Any = ...  # to these rows,
        self.block = data.shape  # in this shape

    def add(self, key: str, array: Any) -> None:
        """Bind a state array."""
        flat = _flat(array)
        self.arrays.append((key, array))
        self.flats.append(flat)
        if not in_order(array):
            self.copies.append((array, flat))

    def at(self, rows: Any) -> Binding:
        """The same arrays, of which the plan takes some rows: gathered here, and written back after it has run."""
        part = copy.copy(self)
        part.rows = rows
        part.block = (rows.size, *self.shape[1:])
        part.copies = [(array, _flat(array[rows])) for array in (self.data, *(array for _, array in self.arrays))]
        part.flat, *part.flats = [flat for _, flat in part.copies]
        return part

    def holds(self, plan: Plan, p: Tensor, state: Any) -> bool:
        """Whether the next step can use it as it is: the plan and all arrays are those that it was made of."""
        if self.state is not state or self.plan is not plan or self.data is not p.data or self.copies:
            return False
        for key, array in self.arrays:  # noqa: SIM110 (a generator for all() takes twice as long)
            if self.state.get(key) is not array:
                return False
        return True

    def flattened(self, g: Any) -> Any:
        """A gradient that fits as a vector that the plan takes: in order, and no part of the parameter itself."""
        ready = g.flags.carray if self.on_host else g.flags.c_contiguous
        views = g.base is not None or self.data.base is not None
        shared = backend.namespace(g).may_share_memory(g, self.data) if views else g is self.data
        if ready and not shared and self.launches and not self.complex:  # a kernel takes no more than its address
            return g
        g = g.ravel() if ready and not shared else g.flatten()
        return g.view(self.flat.dtype) if self.complex else g


Piece = tuple[Tensor, Binding, Any, Any, Any, Any, Any, dict[str, Any]]
"""Of the work of a step, what it does to one parameter (a NamedTuple would take 0.3 µs more for each), in this order:

p, its binding, its gradient as a vector, the plan's constants as the execution takes them,
t: the number of the step, None where the formula does not count,
numbers: what those in the state become, None where there are none,
new: state arrays made for this step; None where the binding is that of the last,
group.
"""


class Settled:
    """What a group's settings, unchanged since the last step, have led to.

    given: all of them, checked.
    settings: those that the formula takes.
    read: those that `update` reads.
    """

    __slots__ = ("given", "plans", "read", "settings")

    def __init__(self, given: tuple[Any, ...], settings: tuple[Any, ...], read: dict[str, Any]) -> None:
        self.given, self.settings, self.read = given, settings, read
        self.plans: dict[Any, Plan] = {}  # by `first`: the plan of the last step


class ElementwiseOptimizer(Optimizer):
    """An optimizer whose update is a formula. A subclass names it, and where its arrays are kept.

    `help(optim.formula)` shows a whole one, with the rules of formulas. What breaks them raises TypeError, at the
    latest in the first step.

    formula: takes p, g and state arrays. Its hyperparameters are settings of the group by name; `beta1`, `beta2`,
        ... are those of its `betas`. Last come those that belong to a parameter, in this order: `first`, whether it
        has no state yet; `numbers`; `t`, the number of this step for this parameter, from 1.
    state_keys: array of the formula -> its key in the parameter's state. Only what the settings use is allocated.
    numbers: hyperparameters that the formula changes: they are kept in the parameter's state under their names.
    switched: arrays that a setting switches on: where they are missing in a loaded state, they start fresh.
    also_kept: keys that a subclass puts into a parameter's state itself. A state with any others is not loaded.
    scratch: arrays of the formula that nothing remembers; a `Scalar` is one.
    reduces: whether the algorithm needs more than its formula: see `update`.
    read: settings that `update` reads.
    between_latex: what `update` computes for the formulas, for `optim.formula.latex` to say.
    takes_complex: whether a complex parameter is stepped, as two real numbers an element.
    """

    formula: Formula
    state_keys: ClassVar[dict[str, str]] = {}
    switched: ClassVar[tuple[str, ...]] = ()
    also_kept: ClassVar[tuple[str, ...]] = ()
    scratch: ClassVar[tuple[str, ...]] = ()
    reduces: ClassVar[bool] = False
    read: ClassVar[tuple[str, ...]] = ()
    between_latex: ClassVar[str] = ""
    takes_complex: ClassVar[bool] = True
    capturable = True
    _settings: ClassVar[Any]  # group -> the values of its settings, in the order of the formula
    _given: ClassVar[Any]  # group -> the same, and those that the formula does not take

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if hasattr(cls, "formula"):
            contract.check_class(cls)
            names = contract.settings_of(cls)
            settings = "".join(map(contract.reading, names))
            others = "".join(f"group[{key!r}], " for key in cls.ranges if key not in names)
            # written out, as each step reads each group: a loop over the names would take three times as long
            cls._settings = staticmethod(eval(f"lambda group: ({settings})"))
            cls._given = staticmethod(eval(f"lambda group: ({settings}{others})"))

    def __init__(self, params: Any, defaults: dict[str, Any], **options: Unpack[Options]) -> None:
        self._bindings: dict[Tensor, Binding] = {}
        self._settled: dict[int, Settled] = {}
        self._batches: dict[int, tuple[list[Binding], Batch]] = {}
        self._choice: Choice | None = None
        self._scratch = Scratch()
        contract.check_returns(type(self))
        super().__init__(params, defaults, **options)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._bindings, self._settled, self._batches, self._choice = {}, {}, {}, None
        self._scratch = Scratch()

    def validate(self, group: dict[str, Any]) -> None:
        """See Optimizer.validate. A setting that only the formula names is a finite number, True, False or None."""
        super().validate(group)
        contract.check_settings(type(self), group)

    def initial(self, name: str, group: dict[str, Any], p: Tensor) -> Any:
        """What an array of the formula, or one of `numbers`, is before a parameter's first step: 0 by default.

        For an array a number fills it, an array is copied.
        """
        return 0.0

    def numbers_before(self, group: dict[str, Any], t: int) -> dict[str, float]:
        """What those of `numbers` on which the formula branches are before step t, for `latex` to show that step."""
        return {}

    def state_shape(self, name: str, shape: Shape) -> Any:
        """Shape of a state array of a parameter of this shape, by default the same; None where it has none."""
        return shape

    def scratch_shapes(self, shape: Shape) -> list[Shape]:
        """Shapes of the work space that `update` takes for a parameter of this shape; all parameters share it."""
        return []

    def _started(self, name: str, group: dict[str, Any], p: Tensor) -> Any:
        initial = self.initial(name, group, p)
        array = self._memory(name, p.data, self.state_shape(name, p.shape))
        if backend.is_array(initial):
            array[...] = initial
        elif array.dtype.kind == "c":  # two real numbers an element, each with its own state
            array.real[...] = array.imag[...] = initial
        else:
            array[...] = initial
        return array

    def _memory(self, name: str, data: Any, shape: Shape) -> Any:
        """Room for an array of the formula, where a loop over it and the parameter's `data` does not wait."""
        return beside(data, shape, self.formula.arrays.index(name) - 1)

    def row_sparse(self, g: RowSparse, group: dict[str, Any]) -> Any:
        """A row-sparse gradient as the algorithm takes it: for its rows alone, or as an array of all of them.

        Raises RuntimeError, as where most algorithms would move rows that have no gradient.
        """
        raise RuntimeError(
            f"{type(self).__name__}.step: a row-sparse gradient for a parameter of shape {g.shape}; SparseAdam, SGD "
            "and Adagrad take them, and `p.grad = p.grad.to_dense()` makes one dense"
        )

    def step(self, closure: Closure | None = None) -> Any:
        """Update every parameter that has a gradient, once.

        closure: if given, it clears the gradients, computes the loss, calls backward and returns the loss, which
            this returns.

        Raises RuntimeError where the very first step finds no gradient at all.
        Raises ValueError for settings that were changed to something out of range, and whatever their arithmetic
        raises; ValueError for a gradient that does not fit its parameter. When it raises, nothing has changed.
        """
        loss = None if closure is None else self._evaluate(closure)
        if self.steps_taken == 0:
            self._expect_gradients()
        if self.skip_nonfinite and self._skips():
            return loss
        choice = chosen_execution()
        if choice != self._choice:  # bindings are of one execution
            self._bindings, self._choice = {}, choice
        lists = [group["params"] for group in self.param_groups]
        for params in _rounds(lists) if self.repeats else (lists,):
            work: list[Piece] = []
            for number, group in enumerate(self.param_groups):
                self._gather(number, group, params[number], work)
            recording = backend.thread.recording
            if recording is None:
                uninterrupted(self._run, work)
            else:
                self._record(work, recording)
        return loss

    def _record(self, work: list[Piece], recording: Recording) -> None:
        captured.record(self, work, recording)

    def _become(self, groups: list[dict[str, Any]], state: Any) -> None:
        super()._become(groups, state)
        self._bindings.clear()
        self._settled.clear()
        self._batches.clear()

    def _loaded(self, saved: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Any]:
        groups, state = super()._loaded(saved)
        always = {*self.numbers, *(("step",) if self.formula.counted else ())}
        for p, entry in state.items():
            if not isinstance(p, Tensor):
                continue
            shapes = {key: self.state_shape(name, p.shape) for name, key in self.state_keys.items()}
            needed = {
                key for name, key in self.state_keys.items() if name not in self.switched and shapes[key] is not None
            }
            foreign = sorted(entry.keys() - {"step", *self.state_keys.values(), *self.numbers, *self.also_kept})
            if foreign:
                raise ValueError(
                    f"{type(self).__name__}.load_state_dict: the state of a parameter of shape {p.shape} has "
                    f"{', '.join(foreign)}, which {type(self).__name__} does not keep. Is it of another optimizer? A "
                    "subclass names what it keeps itself in `also_kept`"
                )
            missing = sorted(key for key in always | needed if entry.get(key) is None)
            if missing:
                raise ValueError(
                    f"{type(self).__name__}.load_state_dict: the state of a parameter of shape {p.shape} has no "
                    f"{', '.join(missing)}, only {', '.join(entry)}"
                )
            for key, shape in shapes.items():
                if entry.get(key) is not None and getattr(entry[key], "shape", None) != shape:
                    raise ValueError(
                        f"{type(self).__name__}.load_state_dict: {key} has shape {getattr(entry[key], 'shape', ())}, "
                        f"expected {shape} for a parameter of shape {p.shape}"
                    )
            for name, key in self.state_keys.items():
                if entry.get(key) is not None:
                    loaded, entry[key] = entry[key], self._memory(name, p.data, entry[key].shape)
                    entry[key][...] = loaded
            if self.formula.counted:
                entry["step"] = count("load_state_dict: step", entry["step"])
        return groups, state

    def _run(self, work: list[Piece]) -> None:
        states = self.state
        now = tick()
        reduces = self.reduces
        launched = self._launched(work)
        last, settings = None, {}
        for p, binding, g, constants, t, numbers, new, group in work:
            if not binding.on_host and (binding.copies or not launched):
                backend.activate(binding.data)
            if launched:
                pass
            elif reduces:
                if group is not last:
                    last, settings = group, self._read(group)
                if binding.launches:
                    self.update_together([binding], [g], constants, settings)
                else:
                    self.update(binding, g, constants, settings)
            else:
                binding.run(binding.flat, g, *binding.flats, constants)
            if binding.copies:
                for array, flat in binding.copies:
                    array[binding.rows] = flat.view(array.dtype).reshape(binding.block)
            if new is not None:
                if new or numbers or t is not None:
                    binding.state.update(new)
                    states[p] = binding.state
                binding.state = states.get(p)
            if t is not None:
                binding.state["step"] = t
            if numbers:
                binding.state.update(numbers)
            binding.write.when = now
        Write.latest = now

    def _launched(self, work: list[Piece]) -> bool:
        """Run what is on a GPU, one launch for all tensors that share a kernel and constants; whether all of it was.

        Of tensors that are the same as in the last step, only the gradients are looked up anew.
        """
        if not work or not work[0][1].launches:
            return False
        together: dict[Any, tuple[Any, Any, list[Binding], list[Any], Any]] = {}
        run = shared = device = None
        for _, binding, g, constants, _, _, _, group in work:
            if not binding.launches:
                return False
            if binding.run is not run or constants is not shared or binding.device != device:
                run, shared, device = binding.run, constants, binding.device
                launch = together.setdefault((id(run), id(constants), device), (run, constants, [], [], group))
                bindings, gradients = launch[2], launch[3]
            bindings.append(binding)
            gradients.append(g)
        for number, (kernel, constants, bindings, gradients, group) in enumerate(together.values()):
            if self.reduces:
                backend.activate(bindings[0].data)
                self.update_together(bindings, gradients, constants, self._read(group))
                continue
            known, batch = self._batches.get(number, (None, None))
            if batch is None or batch.kernel is not kernel or known != bindings:
                rows = [(b.flat, g, *b.flats) for b, g in zip(bindings, gradients, strict=True)]
                batch = Batch(kernel, rows)
                self._batches[number] = bindings, batch
            else:
                batch.take(gradients)
            batch.run(constants)
        return True

    def update(self, binding: Binding, g: Any, constants: Any, settings: dict[str, Any]) -> None:
        """What happens to one parameter where `reduces` is set: reductions, and formulas before and after them.

        settings: those that `read` names; in a captured step each float is an array of shape ().
        """
        raise NotImplementedError(f"{type(self).__name__} has no update()")

    def update_together(
        self, bindings: list[Binding], gradients: list[Any], constants: Any, settings: dict[str, Any]
    ) -> None:
        """`update` of parameters of a group on one GPU, of one type, at the same step, in as few launches as can be."""
        for binding, g in zip(bindings, gradients, strict=True):
            self.update(binding, g.reshape(-1), constants, settings)

    # --- what `optim.functional` takes, where a step is more than formulas of p, g and the state

    def between(self, formula: Formula, given: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
        """What `update` computes for one of the formulas before it runs: its arrays by name, here as Tensors.

        given: arrays and hyperparameters by name, and what the formulas before it have returned.
        """
        return {}

    def shared(self, group: dict[str, Any]) -> dict[str, Any]:
        """What parameters have in common before the first step, by name; it joins the settings."""
        return {}

    def shared_next(self, group: dict[str, Any], stepped: list[dict[str, Any]]) -> dict[str, Any]:
        """The same after a step: for each parameter that was stepped, what its formula returned, and its new state."""
        return {}

    # --- gathering

    def _read(self, group: dict[str, Any]) -> dict[str, Any]:
        number = next(i for i, other in enumerate(self.param_groups) if other is group)
        return self.settle(number, group).read

    def settle(self, number: int, group: dict[str, Any]) -> Settled:
        """The group's settings for the formula, checked where they have changed."""
        settled = self._settled.get(number)
        try:
            if settled is not None and settled.given == self._given(group):
                return settled
        except (KeyError, TypeError, IndexError, ValueError):  # validate says what is wrong
            pass
        checked = dict(group)
        self.validate(checked)
        read = {key: checked[key] for key in self.read}
        settled = self._settled[number] = Settled(self._given(checked), self._settings(checked), read)
        return settled

    def stage(self, p: Tensor, state: dict[str, Any] | None, group: dict[str, Any]) -> tuple[Any, Any, Any]:
        """What of a parameter its next step depends on beside the settings: t, `first` and `numbers`, or None.

        `_gather` asks the same of each parameter, without a call.
        """
        t = (state.get("step", -1) + 1 if state else 1) if self.formula.counted else None
        if t == 0:
            raise self._uncounted(state)
        first = not state or state.keys().isdisjoint(self.state_keys.values()) if self.formula.sees_first else None
        kept = tuple([state[n] if state else self.initial(n, group, p) for n in self.numbers])
        return t, first, kept if self.numbers else None

    def _gather(self, number: int, group: dict[str, Any], params: list[Tensor], work: list[Piece]) -> None:
        """Add to `work` what each parameter's update needs; change nothing."""
        settled = self.settle(number, group)
        counted, sees_first, kept = self.formula.counted, self.formula.sees_first, self.numbers
        states, bindings = self.state, self._bindings
        keys = frozenset(self.state_keys.values()) if sees_first else frozenset()
        stages: dict[Any, Any] = {}  # what parameters at the same step share: plan and constants
        stage: Any = stages  # no stage is equal to it
        ndarray = np.ndarray
        t = first = before = prepare = None
        for p in params:
            g = p._grad  # `p.grad` would make a Tensor of what `backward` left as an array
            if g is None:
                continue
            state = states.get(p)
            if counted:
                t = state.get("step", -1) + 1 if state else 1
                if not t:
                    raise self._uncounted(state)
            if sees_first:
                first = not state or keys.isdisjoint(state)
            if kept:
                before = tuple([state[n] if state else self.initial(n, group, p) for n in kept])
            if stage != (t, first, before):
                stage = t, first, before
                if stage not in stages:
                    stages[stage] = self.planned(settled, first, before, t)
                values, plan, constants_of_plan, numbers, prepared = stages[stage]
                prepare = None
            binding, new = bindings.get(p), None
            if binding is None or not binding.holds(plan, p, state):
                binding, new = self._bind(plan, p, state, group)
            if g.__class__ is not ndarray:
                g = g.data
            if (
                binding.plain
                and g.__class__ is binding.kind
                and g.dtype is binding.dtype
                and g.shape == binding.shape
                and g.base is None
                and g is not binding.data
                and (g.flags.carray if binding.on_host else g.flags.c_contiguous and g.device == binding.place)
            ):
                if not binding.launches:  # a kernel takes no more than its address
                    g = g.ravel()
            else:
                binding, g = self._fitted(binding, p, g, group)
            if prepare is not binding.prepare:
                prepare = binding.prepare
                if prepare not in prepared:
                    prepared[prepare] = prepare(values, constants_of_plan)
                constants = prepared[prepare]
            work.append((p, binding, g, constants, t, numbers, new, group))

    def _uncounted(self, state: Any) -> ValueError:
        return ValueError(f"{type(self).__name__}.step: a parameter's state has no 'step', only {list(state or ())}")

    def _fitted(self, binding: Binding, p: Tensor, g: Any, group: dict[str, Any]) -> tuple[Binding, Any]:
        """Any gradient as a vector that the plan takes, and what takes it: where it is row-sparse, its rows, bound."""
        if (
            g.shape != binding.shape
            or g.dtype != binding.dtype
            or g.__class__ is not binding.kind
            or (not binding.on_host and g.device != binding.place)
        ):
            binding, g = self._bound_rows(binding, p, g, group)
        return binding, binding.flattened(g)

    def _bound_rows(self, binding: Binding, p: Tensor, g: Any, group: dict[str, Any]) -> tuple[Binding, Any]:
        """What a row-sparse gradient is run with: its rows, bound, and their values; hardly any other does fit."""
        device = backend.device_of(g) if backend.is_array(g) or isinstance(g, np.generic) else g.device
        fits = g.shape == binding.shape and g.dtype == binding.dtype and device == p.device
        if fits and binding.on_host and isinstance(g, backend.ON_HOST):  # a memory map, or a number
            return binding, np.asarray(g)
        if not isinstance(g, RowSparse) or not fits:
            raise ValueError(
                f"{type(self).__name__}.step: a gradient of shape {g.shape} {g.dtype} on {device} for a "
                f"parameter of shape {binding.shape} {binding.dtype} on {p.device}"
            )
        taken = self.row_sparse(g, group)
        if not isinstance(taken, RowSparse):
            return binding, taken
        taken = taken.coalesced()
        return binding.at(taken.rows), taken.values

    def planned(self, settled: Settled, first: bool | None, numbers: tuple[Any, ...] | None, t: int | None) -> Any:
        """Hyperparameters, plan, its constants, the numbers that it changes, and room for prepared constants."""
        values = settled.settings
        if first is not None:
            values += (first,)
        if numbers is not None:
            values += numbers
        if t is not None:
            values += (t,)
        plan = settled.plans.get(first)
        constants = None if plan is None else plan.constants(*values)
        if plan is None or constants is None:
            plan, constants = self.formula.plan(values)
            settled.plans[first] = plan
        changed = dict(zip(plan.numbers, constants[-len(plan.numbers) :], strict=True)) if plan.numbers else None
        return values, plan, constants, changed, {}

    def _bind(
        self, plan: Plan, p: Tensor, state: dict[str, Any] | None, group: dict[str, Any]
    ) -> tuple[Binding, dict[str, Any]]:
        """Look up the arrays that the plan takes of a parameter, and allocate what is missing."""
        state = {} if state is None else state
        if isinstance(p.data, np.generic):  # what `p.data = 2 * p.data` leaves of a 0-d array
            p.data = np.asarray(p.data)
        binding = Binding(plan, p, state)
        new = {}
        data = p.data
        if binding.complex and not self.takes_complex:
            raise RuntimeError(
                f"{type(self).__name__}.step: complex parameters are not supported, got one of shape {data.shape}"
            )
        for name in plan.arrays[2:]:
            if name in self.scratch:
                binding.flats.append(
                    self._memory(name, binding.flat, (1,) if name in plan.scalars else binding.flat.shape)
                )
                continue
            key, shape = self.state_keys[name], self.state_shape(name, data.shape)
            array = state.get(key)
            if array is None and shape is None:
                continue
            if array is None:
                array = new[key] = self._started(name, group, p)
            elif array.shape != shape or array.dtype != data.dtype:
                raise ValueError(
                    f"{type(self).__name__}.step: state {key!r} of shape {array.shape} {array.dtype} for a parameter "
                    f"of shape {data.shape} {data.dtype}"
                )
            binding.add(key, array)
        if any(read_only(array) for array in (data, *(array for _, array in binding.arrays))):
            raise ValueError(f"{type(self).__name__}.step: an array of a parameter of shape {data.shape} is read-only")
        shared = self.scratch_shapes(data.shape)
        if shared:
            params = (q for group in self.param_groups for q in group["params"])
            binding.flats += self._scratch.take(p, self.scratch_shapes, params)
        binding.run, binding.prepare = executor(self.formula, plan, binding.flat)
        binding.launches = launches(binding.run)
        self._bindings[p] = binding
        return binding, new


def _rounds(lists: list[list[Tensor]]) -> list[list[list[Tensor]]]:
    """Lists of parameters, in which some stand more than once, as several in which each stands once."""
    rounds = []
    while any(lists):
        unique = [list(dict.fromkeys(params)) for params in lists]
        rounds.append(unique)
        lists = [[p for i, p in enumerate(params) if any(p is q for q in params[:i])] for params in lists]
    return rounds


def _flat(array: Any) -> Any:
    """An array as a vector that kernels can take: a view of it where its memory is in order, else a copy.

    A complex array is one of twice as many real numbers.
    """
    flat = array.reshape(-1)
    flat = flat if in_order(flat) else flat.copy()
    return flat.view(flat.real.dtype) if flat.dtype.kind == "c" else flat
