"""An optimizer's step in a captured CUDA graph: launched once, with numbers that each replay takes anew.

What the host computes for a step reaches the device as words that a replay fills before it runs: constants of a
formula in float64, and numbers that meet arrays one by one, each as an array of shape () of the parameter's type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad import Tensor
from minigrad.cuda import Recording, StaleError
from minigrad.tape import Write, tick
from optim.formula.cuda import Kernel
from optim.interrupt import uninterrupted

if TYPE_CHECKING:
    from optim.arraywise import ArraywiseOptimizer
    from optim.elementwise import Binding, ElementwiseOptimizer, Piece
    from optim.optimizer import Optimizer


# --- numbers


def replaced(numbers: Any, values: Iterator[Any]) -> Any:
    """A tuple, in which others may stand, with these values in place of its floats."""
    if isinstance(numbers, float):
        return next(values)
    if not isinstance(numbers, tuple):
        return numbers
    parts = [replaced(part, values) for part in numbers]
    return type(numbers)(*parts) if hasattr(numbers, "_fields") else tuple(parts)


def _floats(numbers: Any) -> list[float]:
    if isinstance(numbers, tuple):
        return [value for part in numbers for value in _floats(part)]
    return [numbers] if isinstance(numbers, float) else []


def _form(numbers: Any) -> Any:
    """What a recording takes for granted: all but the values of floats."""
    return replaced(numbers, repeat(float))


def _words(values: Sequence[float], dtype: Any) -> Any:
    """A word for each value, which holds it in this type."""
    words = np.zeros(len(values), np.uint64)
    words.view(dtype)[:: 8 // dtype.itemsize] = values
    return words


def scalars(words: Any, dtype: Any) -> Iterator[Any]:
    """The values that words on the device hold, as arrays of shape ()."""
    width = 8 // dtype.itemsize
    values = words.view(dtype)
    return (values[i : i + 1].reshape(()) for i in range(0, len(values), width))


# --- formulas


class Launch(NamedTuple):
    """Parameters of one group that are at the same step, and so share kernel and constants."""

    kernel: Kernel
    constants: Any
    number: int  # of the group
    bound: list[tuple[Tensor, Binding]]
    rows: list[tuple[Any, ...]]

    @property
    def dtype(self) -> Any:
        """The type of all its arrays."""
        return self.rows[0][0].dtype


def record(optimizer: ElementwiseOptimizer, work: list[Piece], recording: Recording) -> None:
    """Launch what `work` asks for into the graph that is being captured; counts and state wait for the replays.

    Raises RuntimeError for what a replay could not do again.
    """
    name = type(optimizer).__name__
    numbers = {id(group): i for i, group in enumerate(optimizer.param_groups)}
    launches: dict[Any, Launch] = {}
    for p, binding, g, constants, _, _, new, group in work:
        if not isinstance(binding.run, Kernel) or binding.copies:
            raise RuntimeError(
                f"capture: {name}.step can't be captured for a parameter of shape {p.shape} {p.dtype} on {p.device}: "
                "it needs float32 or float64 on a GPU, in the order of memory, and a dense gradient"
            )
        if new:
            raise _without_state(name, p)
        number = numbers[id(group)]
        key = id(binding.run), id(constants), number, p.device
        launch = launches.setdefault(key, Launch(binding.run, constants, number, [], []))
        launch.bound.append((p, binding))
        launch.rows.append((binding.flat, g, *binding.flats))
    made = list(launches.values())
    sizes = [len(launch.constants) + len(optimizer.read) for launch in made]
    for launch, live in zip(made, recording.each_replay(sizes, lambda: _prepared(optimizer, made)), strict=True):
        count = len(launch.constants)
        if optimizer.reduces:
            settings = dict(zip(optimizer.read, scalars(live[count:], launch.dtype), strict=True))
            for (_, binding), (_, g, *_) in zip(launch.bound, launch.rows, strict=True):
                optimizer.update(binding, g, live[:count], settings)
        else:
            launch.kernel.run(launch.rows, live)


def _without_state(name: str, p: Tensor) -> RuntimeError:
    return RuntimeError(f"capture: {name} has no state yet for a parameter of shape {p.shape}")


def _prepared(optimizer: ElementwiseOptimizer, launches: list[Launch]) -> tuple[list[Any], Callable[[], None]]:
    """The numbers of the next step, and what counts it. Raises StaleError where other kernels or arrays are due."""
    values, changes = [], []
    for launch in launches:
        group = optimizer.param_groups[launch.number]
        stage: Any = None
        for p, binding in launch.bound:
            state = optimizer.state.get(p)
            found = optimizer.stage(p, state, group)
            stage = found if stage is None else stage
            moved = binding.data is not p.data or binding.state is not state
            if moved or found != stage or any((state or {}).get(key) is not array for key, array in binding.arrays):
                raise StaleError
        t, first, kept = stage
        settled = optimizer.settle(launch.number, group)
        hyperparameters, plan, constants, changed, _ = optimizer.planned(settled, first, kept, t)
        if plan is not launch.bound[0][1].plan:
            raise StaleError
        prepared = launch.bound[0][1].prepare(hyperparameters, constants)
        settings = [float(group[key]) for key in optimizer.read]
        values.append(np.concatenate([prepared.view(np.uint64), _words(settings, launch.dtype)]))
        changes.append((launch.bound, t, changed))
    return values, lambda: uninterrupted(_count, optimizer, changes)


def _count(optimizer: ElementwiseOptimizer, changes: list[Any]) -> None:
    now = tick()
    for bound, t, changed in changes:
        for p, binding in bound:
            if t is not None:
                optimizer.state[p]["step"] = t
            if changed:
                optimizer.state[p].update(changed)
            binding.write.when = now
    Write.latest = now
    optimizer.steps_taken += 1


# --- array code


class Update(NamedTuple):
    """A parameter, and what its recorded update takes."""

    p: Tensor
    data: Any
    state: dict[str, Any]
    arrays: dict[str, Any]  # of the state
    number: int  # of the group
    numbers: Any
    kept: Any  # whatever else the graph writes to, that it may not be freed


def record_updates(optimizer: ArraywiseOptimizer, work: list[tuple[Any, ...]], recording: Recording) -> None:
    """Do what `work` asks for in the graph that is being captured; counts wait for the replays.

    Raises RuntimeError for what a replay could not do again.
    """
    name = type(optimizer).__name__
    if optimizer.repeats:
        raise RuntimeError(f"capture: {name} has a parameter that stands twice in a group")
    places = {p: i for i, group in enumerate(optimizer.param_groups) for p in group["params"]}
    updates = []
    for p, g, state, complete, settings, scratch in work:
        if state.keys() != complete.keys():
            raise _without_state(name, p)
        if p.dtype.char not in "fd":
            raise RuntimeError(f"capture: {name}.step can't be captured for a parameter of {p.dtype}")
        arrays = {key: state[key] for key in optimizer.state_shapes(p.shape)}
        numbers = optimizer.computed(settings, state.get("step", 0) + 1, p.shape)
        updates.append(Update(p, p.data, state, arrays, places[p], numbers, (g, scratch)))
    sizes = [len(_floats(update.numbers)) for update in updates]
    live = recording.each_replay(sizes, lambda: _renewed(optimizer, updates))
    for update, words in zip(updates, live, strict=True):
        g, scratch = update.kept
        if update.data.size:
            numbers = replaced(update.numbers, scalars(words, update.data.dtype))
            optimizer.update(update.data, g, update.arrays, numbers, scratch)


def _renewed(optimizer: ArraywiseOptimizer, updates: list[Update]) -> tuple[list[Any], Callable[[], None]]:
    """The numbers of the next step, and what counts it. Raises StaleError where the recording does not hold for it."""
    settings: dict[int, Any] = {}
    values = []
    for p, data, state, arrays, number, recorded, _ in updates:
        if p.data is not data or optimizer.state.get(p) is not state:
            raise StaleError
        if any(state.get(key) is not array for key, array in arrays.items()):
            raise StaleError
        if number not in settings:
            params = [update.p for update in updates if update.number == number]
            settings[number] = optimizer.settled(optimizer.param_groups[number], params)
        numbers = optimizer.computed(settings[number], state.get("step", 0) + 1, p.shape)
        if _form(numbers) != _form(recorded):
            raise StaleError
        values.append(_words(_floats(numbers), data.dtype))
    return values, lambda: uninterrupted(_advance, optimizer, updates)


def _advance(optimizer: Optimizer, updates: list[Update]) -> None:
    for update in updates:
        if "step" in update.state:
            update.state["step"] += 1
        update.p.mark_written()
    optimizer.steps_taken += 1
