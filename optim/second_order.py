"""The second protocol of closures: the closure only computes, and the optimizer differentiates.

    def closure():
        return criterion(model(images), labels)

    loss = optimizer.step(closure)

By the first protocol (`optim.closure`) the closure clears the gradients, computes the loss, calls backward and returns
the loss. By this one it computes the loss, or the residuals, returns it, and does nothing else: what it has recorded
is what second derivatives are taken of. `.grad` is not needed. Here too all that depends on the parameters must be
computed inside the closure, and it should give the same for the same parameters: it may be called several times a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np

from minigrad import Tensor, enable_grad
from minigrad.checks import Check, count
from minigrad.tape import Node, tick
from minigrad.vectors import norm
from optim.closure import NOT_FINITE, ClosureOptimizer
from optim.flat import Flat
from optim.interrupt import uninterrupted
from optim.optimizer import Closure, Optimizer

ACCEPTED = "point accepted"
ROUNDING = "point accepted, lower by no more than rounding"
STATIONARY = "gradient is zero"


def computed(
    optimizer: Optimizer, closure: Any, params: Iterable[Tensor], what: str = "the loss"
) -> tuple[list[Tensor], list[Tensor]]:
    """What the closure returns, Tensors that were recorded from parameters during its call, and these parameters.

    Raises TypeError where there is no closure or it returns something else, ValueError where that is an empty list,
    RuntimeError where backward has been called, where the answer does not depend on the parameters, and where some of
    it was computed before.
    """
    name = type(optimizer).__name__
    _check_closure(name, closure, what)
    start = tick()
    with enable_grad():
        answer = closure()
    outputs = list(answer) if isinstance(answer, list | tuple) else [answer]
    if not outputs:
        raise ValueError(f"{name}.step: the closure returned an empty list; expected {what}, as one Tensor or several")
    for output in outputs:
        if not isinstance(output, Tensor) or output.dtype.kind != "f":
            got = f"a Tensor of {output.dtype}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise TypeError(
                f"{name}.step: the closure must return {what} as the Tensor that it was computed as, to be "
                f"differentiated; it returned {got}"
            )
    leaves = _leaves(name, outputs)
    used = [p for p in dict.fromkeys(params) if p in leaves]
    if not used:
        raise RuntimeError(
            f"{name}.step: {what} that the closure returned does not depend on any parameter of the optimizer; was it "
            "computed from others, detached, or inside no_grad()?"
        )
    if any(leaves[p] < start for p in used):
        raise RuntimeError(
            f"{name}.step: {what} depends on something that was computed from the parameters before the closure was "
            "called; compute all that depends on them inside the closure, the prediction too"
        )
    return outputs, used


def _check_closure(name: str, closure: Any, what: str) -> None:
    if not callable(closure):
        raise TypeError(f"{name}.step: expected a closure that computes {what} and returns it, got {closure!r}")


def _leaves(name: str, outputs: list[Tensor]) -> dict[Any, float]:
    """The leaves that the outputs were computed from, and when each was first used, by the tape's clock."""
    leaves: dict[Any, float] = {output: math.inf for output in outputs if output.node is None}
    seen: set[Node] = set()
    stack = [output.node for output in outputs if output.node is not None]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.edges is None:
            raise RuntimeError(
                f"{name}.step: the closure has called backward, which frees the graph; here it only computes, and the "
                "optimizer differentiates"
            )
        for edge in node.edges:
            if edge is not None and isinstance(edge[0], Node):
                stack.append(edge[0])
            elif edge is not None:
                leaves[edge[0]] = min(node.order, leaves.get(edge[0], math.inf))
    return leaves


def single(optimizer: Optimizer, outputs: list[Tensor]) -> Tensor:
    """The loss: the only output, of one element."""
    if len(outputs) != 1 or outputs[0].size != 1:
        shapes = ", ".join(str(output.shape) for output in outputs)
        raise ValueError(
            f"{type(optimizer).__name__}.step: the closure must return a loss of one element, got shape {shapes}; "
            "reduce it first (sum, mean)"
        )
    return outputs[0]


class Recorded:
    """The objective f of a closure that only computes, or -f where it is to climb, as a function of one vector.

    A subclass makes a number of what the closure returns, and differentiates it. In a `with` block an error or an
    interrupt puts the parameters back to `x`.

    x, value, gradient: of the point that was accepted last.
    noise: how far rounding may change that value.
    used: the parameters that what the closure returned last was computed from.
    evaluations: how often the closure was called.
    """

    what: ClassVar[str] = "the loss"

    def __init__(self, optimizer: Optimizer, closure: Any, maximize: bool = False) -> None:
        _check_closure(type(optimizer).__name__, closure, self.what)
        self._optimizer, self._closure, self._maximize = optimizer, closure, maximize
        self.flat = Flat(p for group in optimizer.param_groups for p in group["params"])
        for p in self.flat.params:
            if p.dtype.kind == "c":
                raise TypeError(
                    f"{type(optimizer).__name__}.step: complex parameters are not supported, got one of shape {p.shape}"
                )
        self.x, self.value, self.noise = self.flat.values(), math.nan, 0.0
        self.gradient: Any = None
        self.used: list[Tensor] = []
        self.evaluations = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is not None:
            self.back()

    def back(self) -> None:
        """Put the parameters back to the accepted point."""
        self.flat.assign(self.x)

    def accept(self, x: Any, value: float, state: dict[str, Any], **changes: Any) -> str:
        """Take the point where the parameters are, and write the changes into the state: all, or nothing at Ctrl-C.

        Returns what the step has come to, in words.
        """
        stopped = ACCEPTED if self.value - value > self.noise else ROUNDING
        uninterrupted(self._accept, x, value, state, changes)
        return stopped

    def _accept(self, x: Any, value: float, state: dict[str, Any], changes: dict[str, Any]) -> None:
        self.x, self.value = x, value
        state.update(changes, n_iter=state.get("n_iter", 0) + 1)

    def record(self) -> list[Tensor]:
        """What the closure returns where the parameters are."""
        outputs, self.used = computed(self._optimizer, self._closure, self.flat.params, self.what)
        self.evaluations += 1
        return outputs

    def number(self, outputs: list[Tensor]) -> Tensor:
        """The objective, from what the closure returned; not yet negated where it is to climb."""
        raise NotImplementedError(f"{type(self).__name__} has no number()")

    def measured(self, outputs: list[Tensor]) -> float:
        """The value that is to fall, from what the closure returned."""
        value: float = self.signed(float(self.number(outputs)))
        return value

    def at(self, x: Any) -> float:
        """The objective's value at x, where the parameters are until a point is accepted."""
        self.flat.assign(x)
        return self.measured(self.record())

    def start(self) -> Tensor:
        """What the closure computes at the accepted point, where the parameters are; its derivatives are kept."""
        outputs = self.record()
        loss = self.number(outputs).detach()
        self.differentiate(outputs)
        self.value = self.measured(outputs)
        self.noise = 10 * float(np.finfo(loss.dtype).eps) * abs(self.value)
        return loss

    def differentiate(self, outputs: list[Tensor]) -> None:
        """Set `gradient`, and whatever else the algorithm needs of the accepted point."""
        raise NotImplementedError(f"{type(self).__name__} has no differentiate()")

    def signed(self, value: Any) -> Any:
        """What is minimized from what the closure computes, or back: the negative where it is to climb."""
        return -value if self._maximize else value

    @property
    def finite(self) -> bool:
        """Whether value and gradient at the accepted point are, and the gradient's norm."""
        return math.isfinite(self.value) and math.isfinite(norm(self.gradient))

    def vector(self, tensors: list[Tensor]) -> Any:
        """Tensors of the shapes of `used` as a vector of all parameters."""
        arrays = {p: tensor.data for p, tensor in zip(self.used, tensors, strict=True)}
        return self.flat.joined([arrays.get(p) for p in self.flat.params])

    def parts(self, vector: Any) -> list[Tensor]:
        """A vector of all parameters as tensors of the shapes of `used`."""
        arrays = dict(zip(self.flat.params, self.flat.split(vector), strict=True))
        return [Tensor(arrays[p]) for p in self.used]

    def gain(self, trial: float, predicted: float) -> float:
        """The actual over the predicted fall of the objective from the accepted point: how well its model holds.

        1 where rounding hides both; -inf where the trial's value is not finite.

        Source: Conn, Gould and Toint, "Trust-Region Methods" (2000), section 17.4.2.
        """
        actual = self.value - trial
        if not math.isfinite(actual):
            return -math.inf
        if abs(actual) <= self.noise and predicted <= self.noise:
            return 1.0
        return actual / predicted if predicted > 0 else -math.inf


class SecondOrderOptimizer(ClosureOptimizer):
    """Base class: one vector of all parameters, whose closure only computes. See also ClosureOptimizer.

    objective: what the closure is made.
    remembers: the numbers that the state holds, and what each must be; beside them "n_iter" and "func_evals".
    """

    objective: ClassVar[type[Recorded]]
    remembers: ClassVar[dict[str, Check]] = {}
    report: Any = None

    def __init_subclass__(cls, **options: Any) -> None:
        cls.remembers = {**cls.remembers, "n_iter": count, "func_evals": count}
        cls.numbers = tuple(cls.remembers)
        super().__init_subclass__(**options)

    def descend(self, objective: Any, state: dict[str, Any], settings: dict[str, Any]) -> Any:
        """Accept a lower point, keep `state`, and report."""
        raise NotImplementedError(f"{type(self).__name__} has no descend()")

    def step(self, closure: Closure | None = None) -> Any:
        """Go to a lower point. Returns the objective where the step started, as a Tensor.

        closure: required; it computes the loss from the parameters as they are and returns it; for GaussNewton and
            LevenbergMarquardt the residuals, whose squares are summed here: not their squares, nor a mean of those.

        Where objective or gradient are not finite from the start, nothing changes.

        Raises TypeError, ValueError and RuntimeError for a closure that does not keep to the protocol, ValueError for
        settings that were changed to something out of range, and what the closure raises. Then, and at Ctrl-C, the
        parameters are where they were before the step, and nothing else of the optimizer has changed.
        """
        settings = self._settings()
        with self.objective(self, closure, settings.get("maximize", False)) as objective:
            loss = objective.start()
            state = self._state(objective.flat)
            self.report = self.descend(objective, state, settings)
            state["func_evals"] = state.get("func_evals", 0) + objective.evaluations
            state.setdefault("n_iter", 0)
            self.skipped += self.skip_nonfinite and self.report.stopped == NOT_FINITE
        return loss

    def _check_loaded(self, state: dict[str, Any], flat: Flat) -> None:
        super()._check_loaded(state, flat)
        for key, check in self.remembers.items():
            if key in state:
                state[key] = check(f"{type(self).__name__}.load_state_dict: {key}", state[key])
