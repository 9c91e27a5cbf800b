"""An elementwise step in a captured CUDA graph: launched once, with constants that each replay takes anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from minigrad import Tensor
from minigrad.cuda import Recording, StaleError
from minigrad.tape import Write, tick
from optim.formula.cuda import Kernel
from optim.interrupt import uninterrupted

if TYPE_CHECKING:
    from optim.elementwise import Binding, ElementwiseOptimizer


class Launch(NamedTuple):
    """Parameters of one group that are at the same step, and so share kernel and constants."""

    kernel: Kernel
    constants: Any
    number: int  # of the group
    bound: list[tuple[Tensor, Binding]]
    rows: list[tuple[Any, ...]]


def record(optimizer: ElementwiseOptimizer, work: list[tuple[Any, ...]], recording: Recording) -> None:
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
            raise RuntimeError(f"capture: {name} has no state yet for a parameter of shape {p.shape}")
        number = numbers[id(group)]
        key = id(binding.run), id(constants), number, p.device
        launch = launches.setdefault(key, Launch(binding.run, constants, number, [], []))
        launch.bound.append((p, binding))
        launch.rows.append((binding.flat, g, *binding.flats))
    made = list(launches.values())
    sizes = [len(launch.constants) for launch in made]
    for launch, live in zip(made, recording.each_replay(sizes, lambda: _prepared(optimizer, made)), strict=True):
        launch.kernel.run(launch.rows, launch.constants, live)


def _prepared(optimizer: ElementwiseOptimizer, launches: list[Launch]) -> tuple[list[Any], Callable[[], None]]:
    """The constants of the next step, and what counts it. Raises StaleError where other kernels or arrays are due."""
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
        values.append(launch.bound[0][1].prepare(hyperparameters, constants))
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
