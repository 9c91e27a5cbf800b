"""The step of algorithms that need a parameter whole, for its rows, its norm or its products: gather, check, then run.

First every parameter's arrays are gathered and checked, and the work space is there, for all groups: whatever can
raise, raises here, with nothing changed. Then each parameter is updated, and an interrupt waits until all are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Unpack

import numpy as np

from minigrad import Tensor, backend
from optim import captured
from optim.hyperparameters import count
from optim.interrupt import uninterrupted
from optim.optimizer import Closure, Optimizer, Options

Shape = tuple[int, ...]


class Scratch:
    """Work space that all parameters share: as much as the largest of them needs, kept from step to step."""

    def __init__(self) -> None:
        self._flat: dict[Any, Any] = {}

    def take(self, like: Any, *shapes: Shape) -> list[Any]:
        """Arrays of these shapes, of the type and on the device of `like`, with whatever is in them."""
        sizes = [math.prod(shape) for shape in shapes]
        key = type(like), like.dtype, backend.device_of(like)
        flat = self._flat.get(key)
        if flat is None or flat.size < sum(sizes):
            flat = self._flat[key] = np.empty_like(like, shape=(sum(sizes),))
        ends = np.cumsum(sizes).tolist()
        return [flat[end - size : end].reshape(shape) for shape, size, end in zip(shapes, sizes, ends, strict=True)]


class Weight(NamedTuple):
    """The weight of b in a mean of a and b, counted from the nearer of the two."""

    part: Any
    from_a: bool

    @classmethod
    def of(cls, weight: float) -> Weight:
        """Of a number from 0, which is a, to 1."""
        return cls(float(weight), True) if weight < 0.5 else cls(float(1 - weight), False)


def lerp(a: Any, b: Any, weight: Weight, scratch: Any) -> None:
    """a ← (1 - weight)·a + weight·b, from the nearer end as torch computes it; `scratch` may be b.

    So an infinite a stays infinite or becomes NaN where it does in torch.
    """
    part, from_a = weight
    if from_a:
        np.subtract(b, a, out=scratch)
        np.multiply(scratch, part, out=scratch)
        np.add(a, scratch, out=a)
    else:
        np.subtract(b, a, out=a)
        np.multiply(a, part, out=a)
        np.subtract(b, a, out=a)


class ArraywiseOptimizer(Optimizer):
    """An optimizer whose update is array code, one parameter at a time.

    counted: whether a parameter's state has the number of its updates, "step".
    """

    counted: ClassVar[bool] = False
    capturable = True

    def __init__(self, params: Any, defaults: dict[str, Any], **options: Unpack[Options]) -> None:
        self._scratch = Scratch()
        super().__init__(params, defaults, **options)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._scratch = Scratch()

    # --- what a subclass gives

    def state_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Key -> shape of the state arrays of a parameter of this shape; they start at 0."""
        raise NotImplementedError(f"{type(self).__name__} has no state_shapes()")

    def scratch_shapes(self, shape: Shape) -> list[Shape]:
        """Shapes of the work space that the update of a parameter of this shape takes."""
        raise NotImplementedError(f"{type(self).__name__} has no scratch_shapes()")

    def computed(self, settings: dict[str, Any], t: int, shape: Shape) -> Any:
        """What the host computes for a parameter's step t: a tuple, of tuples too.

        A captured step takes its floats anew each time, as arrays of shape (); all else must stay the same.
        """
        raise NotImplementedError(f"{type(self).__name__} has no computed()")

    def update(self, p: Any, g: Any, state: dict[str, Any], numbers: Any, scratch: list[Any]) -> None:
        """Update the arrays p and those of its state; g, which may be p itself, stays as it is until p is written."""
        raise NotImplementedError(f"{type(self).__name__} has no update()")

    def settled(self, group: dict[str, Any], params: list[Tensor]) -> dict[str, Any]:
        """The group's settings for its parameters that have a gradient, checked."""
        settings = dict(group)
        self.validate(settings)
        return settings

    # --- the contract

    def step(self, closure: Closure | None = None) -> Any:
        """Update every parameter that has a gradient, once.

        closure: if given, it clears the gradients, computes the loss, calls backward and returns the loss, which
            this returns.

        Raises RuntimeError where the very first step finds no gradient at all.
        Raises ValueError for settings that were changed to something out of range and for a gradient or a state that
        does not fit its parameter, RuntimeError for complex parameters and row-sparse gradients. When it raises,
        nothing has changed.
        """
        loss = self._evaluate(closure)
        self._expect_gradients()
        if not self._skips():
            work, recording = self._gather(), backend.thread.recording
            if recording is None:
                uninterrupted(self._run, work)
            else:
                captured.record_updates(self, work, recording)
        return loss

    def _gather(self) -> list[tuple[Any, ...]]:
        """What each parameter's update needs; changes nothing."""
        work = []
        states: dict[Tensor, dict[str, Any]] = {}  # of a parameter that stands twice, the same one twice
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            settings = self.settled(group, params)
            for p in params:
                if isinstance(p.data, np.generic):  # what `p.data = 2 * p.data` leaves of a 0-d array
                    p.data = np.asarray(p.data)
                self._check(p)
                state = self.state.get(p, {})
                if p not in states:
                    states[p] = self._completed(p, state)
                scratch = self._scratch.take(p.data, *self.scratch_shapes(p.shape))
                work.append((p, p.grad.data, state, states[p], settings, scratch))
        return work

    def _check(self, p: Tensor) -> None:
        name, g = type(self).__name__, p.grad
        if p.dtype.kind == "c":
            raise RuntimeError(f"{name}.step: complex parameters are not supported, got one of shape {p.shape}")
        if not isinstance(g, Tensor):
            raise RuntimeError(f"{name}.step: expected a dense gradient, got a {type(g).__name__}")
        if g.shape != p.shape or g.dtype != p.dtype or g.device != p.device:
            raise ValueError(
                f"{name}.step: a gradient of shape {g.shape} {g.dtype} on {g.device} for a "
                f"parameter of shape {p.shape} {p.dtype} on {p.device}"
            )

    def _completed(self, p: Tensor, state: dict[str, Any]) -> dict[str, Any]:
        """A copy of the parameter's state in which nothing is missing."""
        name = type(self).__name__
        if self.counted and state and "step" not in state:
            raise ValueError(f"{name}.step: a parameter's state has no 'step', only {[*state]}")
        complete = {"step": 0} | state if self.counted else dict(state)
        for key, shape in self.state_shapes(p.shape).items():
            array = complete.get(key)
            if array is None:
                complete[key] = array = np.zeros_like(p.data, shape=shape)
            if array.shape != shape or array.dtype != p.dtype:
                raise ValueError(
                    f"{name}.step: state {key!r} of shape {array.shape} {array.dtype}, expected {shape} {p.dtype}"
                )
        if any(backend.read_only(array) for array in (p.data, *(complete[key] for key in self.state_shapes(p.shape)))):
            raise ValueError(f"{name}.step: an array of a parameter of shape {p.shape} is read-only")
        return complete

    def _run(self, work: list[tuple[Any, ...]]) -> None:
        with np.errstate(all="ignore"):
            for p, g, state, complete, settings, scratch in work:
                if self.counted:
                    complete["step"] += 1
                if p.size:
                    numbers = self.computed(settings, complete.get("step", 1), p.shape)
                    self.update(p.data, g, complete, numbers, scratch)
                state.update(complete)
                self.state[p] = state
                p.mark_written()

    def _loaded(self, saved: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Any]:
        groups, states = super()._loaded(saved)
        name = type(self).__name__
        for p, state in states.items():
            if not isinstance(p, Tensor):
                continue
            shapes = self.state_shapes(p.shape)
            missing = [key for key in ("step",) * self.counted + tuple(shapes) if state.get(key) is None]
            if missing:
                raise ValueError(
                    f"{name}.load_state_dict: the state of a parameter of shape {p.shape} has no "
                    f"{', '.join(missing)}, only {', '.join(state)}"
                )
            for key, shape in shapes.items():
                given = getattr(state[key], "shape", ())
                if given != shape:
                    raise ValueError(
                        f"{name}.load_state_dict: {key} has shape {given}, expected {shape} for a parameter of shape "
                        f"{p.shape}"
                    )
            if self.counted:
                state["step"] = count("load_state_dict: step", state["step"])
        return groups, states
