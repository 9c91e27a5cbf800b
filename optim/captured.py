"""An optimizer's step in a captured CUDA graph: launched once, with numbers that each replay takes anew.

What the host computes for a step reaches the device as words that a replay fills before it runs: constants of
formulas in float64, and settings that meet arrays one by one, each as an array of shape () of the parameter's type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigrad import Tensor
from minigrad.cuda import Recording, StaleError
from minigrad.tape import Write, tick
from optim.interrupt import uninterrupted

if TYPE_CHECKING:
    from optim.elementwise import Binding, ElementwiseOptimizer, Piece


# --- numbers


def _replaced(numbers: Any, values: Iterator[Any]) -> Any:
    """A tuple, in which others may stand, with these values in place of its floats."""
    if isinstance(numbers, float):
        return next(values)
    if not isinstance(numbers, tuple):
        return numbers
    return tuple(_replaced(part, values) for part in numbers)


def _floats(numbers: Any) -> list[float]:
    if isinstance(numbers, tuple):
        return [value for part in numbers for value in _floats(part)]
    return [numbers] if isinstance(numbers, float) else []


def _form(numbers: Any) -> Any:
    """What a recording takes for granted: all but the values of floats."""
    return _replaced(numbers, repeat(float))


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
    """Parameters of one group that are at the same step, and so share plan and constants."""

    run: Any
    constants: Any
    number: int  # of the group
    read: tuple[Any, ...]  # of its settings, what `update` reads
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
    if optimizer.repeats:
        raise RuntimeError(f"capture: {name} has a parameter that stands twice in a group")
    numbers = {id(group): i for i, group in enumerate(optimizer.param_groups)}
    launches: dict[Any, Launch] = {}
    for p, binding, g, constants, _, _, new, group in work:
        if not binding.launches or binding.copies:
            raise RuntimeError(
                f"capture: {name}.step can't be captured for a parameter of shape {p.shape} {p.dtype} on {p.device}: "
                "it needs float32 or float64 on a GPU, in the order of memory, and a dense gradient"
            )
        if new:
            raise RuntimeError(f"capture: {name} has no state yet for a parameter of shape {p.shape}")
        number = numbers[id(group)]
        key = id(binding.run), id(constants), number, p.device
        read = tuple(optimizer.settle(number, group).read.values())
        launch = launches.setdefault(key, Launch(binding.run, constants, number, read, [], []))
        launch.bound.append((p, binding))
        launch.rows.append((binding.flat, g, *binding.flats))
    made = list(launches.values())
    sizes = [len(launch.constants) + len(_floats(launch.read)) for launch in made]
    for launch, live in zip(made, recording.each_replay(sizes, lambda: _prepared(optimizer, made)), strict=True):
        count = len(launch.constants)
        if optimizer.reduces:
            read = _replaced(launch.read, scalars(live[count:], launch.dtype))
            settings = dict(zip(optimizer.read, read, strict=True))
            bindings, gradients = [binding for _, binding in launch.bound], [g for _, g, *_ in launch.rows]
            optimizer.update_together(bindings, gradients, live[:count], settings)
        else:
            launch.run.run(launch.rows, live)


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
            if found != stage or not binding.holds(binding.plan, p, state):
                raise StaleError
        t, first, kept = stage
        settled = optimizer.settle(launch.number, group)
        hyperparameters, plan, constants, changed, _ = optimizer.planned(settled, first, kept, t)
        read = tuple(settled.read.values())
        if plan is not launch.bound[0][1].plan or _form(read) != _form(launch.read):
            raise StaleError
        prepared = launch.bound[0][1].prepare(hyperparameters, constants)
        values.append(np.concatenate([prepared.view(np.uint64), _words(_floats(read), launch.dtype)]))
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
