"""Averages of parameters over training: equal (SWA), exponential (EMA), or by a function of your own.

A model is anything with `parameters()`, `buffers()`, `state_dict()` and `load_state_dict()` that can be copied.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from minigrad import Tensor, backend, no_grad
from minigrad.checks import NONNEGATIVE, UNIT, count, flag, function, one_of, optional
from minigrad.tensor import as_array
from optim.interrupt import uninterrupted
from optim.lr_scheduler.base import LRScheduler, all_or_nothing, checked_optimizer, for_each_group, shared
from optim.lr_scheduler.schedule import half_cosine
from optim.optimizer import Optimizer

__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn",
    "swapped", "update_bn",
]  # fmt: skip

AvgFn = Callable[[Tensor, Tensor, int], Any]
"""(average, current value, how many values the average is of) -> the next average."""
MultiAvgFn = Callable[[Sequence[Tensor], Sequence[Tensor], int], None]
"""The same of lists, writing into the averages."""


# --- averaging functions


def get_swa_avg_fn() -> AvgFn:
    """The equal average of n + 1 values: avg + (p - avg) / (n + 1).

    P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018, algorithm 1.
    """
    return _equal


def get_swa_multi_avg_fn() -> MultiAvgFn:
    """`get_swa_avg_fn` for lists of tensors, in place."""
    return _equal_in_place


def get_ema_avg_fn(decay: float = 0.999, *, warmup: bool = False, bias_correction: bool = False) -> AvgFn:
    """The exponential moving average: d·avg + (1 - d)·p, with d = decay unless its beginning is treated otherwise.

    The first value is copied, and with a decay near 1 it weighs long. With n the number of values so far,

        warmup: d = min(decay, (1 + n) / (10 + n)), which forgets the first values sooner;
        bias_correction: d = (decay - decayⁿ⁺¹) / (1 - decayⁿ⁺¹): the average that started as 0, divided by 1 - decayⁿ
            as Adam divides its own, so that each value has the weight that its age alone gives it.

    decay: in [0, 1]; 0.999 by default. Below 1 for `bias_correction`.

    Raises ValueError for another decay, and where both are asked for.

    D. P. Kingma, J. Ba, "Adam", ICLR 2015, section 3, for the correction. Neither is in torch.

    >>> import minigrad as mg
    >>> avg, p = mg.tensor([0.0]), mg.tensor([1.0])
    >>> [get_ema_avg_fn(0.9, **option)(avg, p, 1).item() for option in ({}, {"warmup": True})]
    [0.10000000149011612, 0.8181818127632141]
    """
    return partial(_exponential, _Decay(decay, warmup, bias_correction))


def get_ema_multi_avg_fn(decay: float = 0.999, *, warmup: bool = False, bias_correction: bool = False) -> MultiAvgFn:
    """`get_ema_avg_fn` for lists of tensors, in place; the same arguments and errors."""
    return partial(_exponential_in_place, _Decay(decay, warmup, bias_correction))


class _Decay:
    """The decay as a function of the number of values so far."""

    def __init__(self, decay: float, warmup: bool, bias_correction: bool) -> None:
        self.decay: float = UNIT("EMA: decay", decay)
        self.warmup, self.bias_correction = flag("EMA: warmup", warmup), flag("EMA: bias_correction", bias_correction)
        if warmup and bias_correction:
            raise ValueError("EMA: warmup and bias_correction both mend the beginning; choose one")
        if bias_correction and decay == 1:
            raise ValueError("EMA: bias_correction needs a decay below 1: an average that starts as 0 would stay there")

    def __call__(self, n: int) -> float:
        if self.warmup:
            return min(self.decay, (1 + n) / (10 + n))
        if self.bias_correction:
            return float((self.decay - self.decay ** (n + 1)) / (1 - self.decay ** (n + 1)))
        return self.decay


# Functions of the module, and no inner ones, so that what has them can be pickled


def _equal(averaged: Tensor, current: Tensor, num_averaged: int) -> Any:
    return averaged + (current - averaged) / (num_averaged + 1)


def _equal_in_place(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: int) -> None:
    for avg, p in zip(averaged, current, strict=True):
        difference = np.subtract(p.data, avg.data, dtype=np.result_type(p.dtype, avg.dtype, np.float16))
        _write(avg, avg.data, difference / (num_averaged + 1))


def _exponential(decay: _Decay, averaged: Tensor, current: Tensor, num_averaged: int) -> Any:
    d = decay(num_averaged)
    return d * averaged + (1 - d) * current


def _exponential_in_place(
    decay: _Decay, averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: int
) -> None:
    d = decay(num_averaged)
    for avg, p in zip(averaged, current, strict=True):
        _write(avg, d * avg.data, (1 - d) * p.data)


def _write(target: Tensor, a: Any, b: Any) -> None:
    """target ← a + b, cut to a whole number where it is an integer: torch does so with counts of batches."""
    np.add(a, b, out=target.data, casting="unsafe")


# --- the averaged model


class AveragedModel:
    """A copy of a model whose parameters are averages of the model's.

        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999))
        for x, y in loader:
            ...
            optimizer.step()
            averaged.update_parameters(model)
        averaged.eval()(x)

    The first update copies the model, each further one averages. Calls, `train`, `eval`, `to`, `parameters`, `buffers`
    and `modules` go to the copy, `module`, which has all else; gradients and optimizers are left alone. It is no Module
    itself.

    model: what is copied; frozen and tied parameters stay so.
    device: where the averages are kept; where the model is by default.
    avg_fn: (average, current value, n) -> the next average, where n counts the updates so far. All next averages
        exist before the first is written.
    multi_avg_fn: the same for all tensors at once, as lists, writing into the averages.
        By default the average is equal, in place.
    use_buffers: average the buffers too; by default they are copied with each update. Averages of integers, such as a
        count of batches, are cut to integers.

    n_averaged: the number of updates.

    Raises ValueError where both functions are given, TypeError for what is no function.

    P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018; B. T. Polyak,
    A. B. Juditsky, "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 30 (1992).

    >>> import minigrad as mg, nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> averaged = AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = nn.init.constant_(model.weight, value)
    ...     averaged.update_parameters(model)
    >>> averaged(mg.tensor([[1.0]])).item()
    3.0
    """

    def __init__(
        self,
        model: Any,
        device: str | None = None,
        avg_fn: AvgFn | None = None,
        multi_avg_fn: MultiAvgFn | None = None,
        use_buffers: bool = False,
    ) -> None:
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: expected avg_fn or multi_avg_fn, got both")
        _check_model("AveragedModel", model, "parameters", "buffers", "state_dict", "load_state_dict")
        self.module = copy.deepcopy(model)
        for p in self.module.parameters():
            p.grad = None
        if device is not None:
            self.module.to(device)
        self.n_averaged = 0
        self.avg_fn = optional(function)("AveragedModel: avg_fn", avg_fn)
        self.multi_avg_fn = optional(function)("AveragedModel: multi_avg_fn", multi_avg_fn)
        self.use_buffers = flag("AveragedModel: use_buffers", use_buffers)

    def update_parameters(self, model: Any) -> None:
        """Take the model's parameters, as they are now, into the average.

        Raises ValueError for a model with other parameters or buffers, RuntimeError where it holds averages, lent to
        it by `swapped_into`; nothing has changed then.
        """
        parameters, buffers = (
            [(own.detach(), Tensor(backend.to_device(tensor.data, own.device))) for own, tensor in pairs]
            for pairs in self._pairs("update_parameters", model)
        )
        averaged = parameters + buffers if self.use_buffers else parameters
        copied = [] if self.use_buffers else buffers
        if self.n_averaged == 0:
            averaged, copied = [], parameters + buffers
        elif self.avg_fn is not None:
            averaged, copied = [], copied + [(own, self._average(self.avg_fn, own, value)) for own, value in averaged]
        uninterrupted(self._update, averaged, copied)

    def _average(self, avg_fn: AvgFn, own: Tensor, value: Tensor) -> Tensor:
        with no_grad(), np.errstate(all="ignore"):
            answer = Tensor(as_array(avg_fn(own, value, self.n_averaged)))
        if answer.shape != own.shape:
            raise ValueError(f"update_parameters: avg_fn gave shape {answer.shape} for an average of {own.shape}")
        return answer

    def _update(self, averaged: list[tuple[Tensor, Tensor]], copied: list[tuple[Tensor, Tensor]]) -> None:
        with no_grad(), np.errstate(all="ignore"):
            if averaged:
                average = self.multi_avg_fn or get_swa_multi_avg_fn()
                average([own for own, _ in averaged], [value for _, value in averaged], self.n_averaged)
            for own, value in copied:
                backend.copy_into(own.data, value.data)
            for own, _ in averaged + copied:
                own.mark_written()
        self.n_averaged += 1

    def _pairs(self, name: str, model: Any) -> tuple[list[tuple[Tensor, Tensor]], ...]:
        """Own parameters with the model's, and own buffers with the model's."""
        _check_model(name, model, "parameters", "buffers")
        if any(id(tensor) in _swapped for tensor in (*model.parameters(), *model.buffers())):
            raise RuntimeError(f"{name}: the model holds averages already; leave that swapped_into block first")
        pairs = []
        for kind in ("parameters", "buffers"):
            own, others = list(getattr(self.module, kind)()), list(getattr(model, kind)())
            shapes = [t.shape for t in own], [t.shape for t in others]
            if shapes[0] != shapes[1]:
                raise ValueError(f"{name}: expected a model with {kind} of shapes {shapes[0]}, got {shapes[1]}")
            pairs.append(list(zip(own, others, strict=True)))
        return tuple(pairs)

    @contextmanager
    def swapped_into(self, model: Any) -> Iterator[Any]:
        """Lend the averages to a model, parameters and buffers, for the length of a `with` block.

            with averaged.swapped_into(model):
                accuracy = evaluate(model)

        The model's tensors stay the same objects; its own arrays are put back at the end, however the block ends. On
        the same device and in the same type nothing is copied, and what the block writes into the model's tensors is
        written into the averages.

        Raises ValueError for a model with other parameters or buffers, RuntimeError where its tensors are lent already
        and where nothing was averaged yet.
        """
        parameters, buffers = self._pairs("swapped_into", model)
        if self.n_averaged == 0:
            raise RuntimeError("swapped_into: nothing is averaged yet; call update_parameters(model) after each step")
        pairs = parameters + buffers
        with swapped([tensor for _, tensor in pairs], [own for own, _ in pairs]):
            yield model

    # --- as a module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged copy computes."""
        return self.module(*args, **kwargs)

    def __repr__(self) -> str:
        inner = repr(self.module).replace("\n", "\n  ")
        return f"AveragedModel(\n  (module): {inner}\n)"

    @property
    def training(self) -> bool:
        """Whether the copy is in training mode."""
        return bool(self.module.training)

    def train(self, mode: bool = True) -> AveragedModel:
        """Switch the copy to training mode, or out of it."""
        self.module.train(mode)
        return self

    def eval(self) -> AveragedModel:
        """Switch the copy to evaluation."""
        return self.train(False)

    def to(self, device: str | None = None, dtype: Any = None) -> AveragedModel:
        """Move the averages to a device and, those of floating point, to a type."""
        self.module.to(device, dtype)
        return self

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """The averages of the parameters."""
        return iter(self.module.parameters(recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """The buffers of the copy."""
        return iter(self.module.buffers(recurse))

    def modules(self) -> Iterator[Any]:
        """The copy and all modules in it."""
        return iter(self.module.modules())

    def state_dict(self) -> dict[str, Any]:
        """`n_averaged`, and the copy's own state with `module.` before its names. Functions are not saved."""
        state = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        return {"n_averaged": np.array(self.n_averaged), **state}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state, torch's too.

        Raises ValueError for a state without `n_averaged` or with other names or shapes. When it raises, nothing has
        changed.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"AveragedModel.load_state_dict: expected a dictionary, got a {type(state_dict).__name__}")
        if "n_averaged" not in state_dict:
            raise ValueError(f"AveragedModel.load_state_dict: no 'n_averaged' among {list(state_dict)}")
        others = [name for name in state_dict if name != "n_averaged" and not name.startswith("module.")]
        if others:
            raise ValueError(f"AveragedModel.load_state_dict: unexpected {others}; names start with 'module.'")
        n_averaged = count("AveragedModel.load_state_dict: n_averaged", state_dict["n_averaged"])
        values = {name.removeprefix("module."): v for name, v in state_dict.items() if name != "n_averaged"}
        self.module.load_state_dict(values)
        self.n_averaged = n_averaged


def _check_model(name: str, model: Any, *methods: str) -> None:
    missing = [method for method in methods if not callable(getattr(model, method, None))]
    if missing or isinstance(model, type):
        raise TypeError(f"{name}: expected a model, with {'(), '.join(methods)}(), got a {type(model).__name__}")


# --- other values for a while

_swapped: set[int] = set()
"""Ids of the tensors that hold others' values; each lives while its block does."""


@contextmanager
def swapped(tensors: Iterable[Tensor], values: Iterable[Any]) -> Iterator[None]:
    """Give tensors other values for the length of a `with` block, and then their own back, however it ends.

    tensors: parameters or buffers; they stay the same objects, and their own arrays are kept as they are.
    values: a tensor or an array for each, of its shape; brought to its device and type. Where they have these already,
        the arrays are shared, and what the block writes goes into them.

    `AveragedModel.swapped_into` does this for a whole model. With a schedule-free optimizer, whose averages are its
    states' `x`:

        params = list(model.parameters())
        with swapped(params, [optimizer.state.get(p, {}).get("x", p) for p in params]):  # p before its first step
            ...

    Raises ValueError for another number of values or another shape, RuntimeError for a tensor that holds other values
    already. When it raises, nothing has changed.
    """
    tensors, arrays = list(tensors), [as_array(value) for value in values]
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"swapped: expected Tensors, got a {type(t).__name__}")
    shapes = [t.shape for t in tensors], [a.shape for a in arrays]
    if shapes[0] != shapes[1]:
        raise ValueError(f"swapped: expected values of shapes {shapes[0]}, got {shapes[1]}")
    ids = {id(t) for t in tensors}
    if ids & _swapped:
        raise RuntimeError("swapped: a tensor holds other values already; leave that block before entering another")
    lent = [backend.to_device(a, t.device).astype(t.dtype, copy=False) for t, a in zip(tensors, arrays, strict=True)]
    own = [t.data for t in tensors]
    _swapped.update(ids)
    try:
        for t, array in zip(tensors, lent, strict=True):
            t.data = array
        yield
    finally:
        for t, array in zip(tensors, own, strict=True):
            t.data = array
        _swapped.difference_update(ids)


# --- the learning rate


class SWALR(LRScheduler):
    """lr goes to swa_lr in anneal_epochs steps, from whatever it is at the first of them, and stays; see LRScheduler.

    lr ← r·lr + (1 - r)·swa_lr, with r = f(t)/f(t - 1), where f falls from 1 to 0 along half a cosine or a line: while
    nobody else writes lr it is f(t)·base_lr + (1 - f(t))·swa_lr. So a SWALR can be made at the start, and stepped once
    another scheduler has brought lr down.

    swa_lr: ≥ 0, a number, or a list of one for each group, kept as the group's "swa_lr".
    anneal_epochs: a whole number from 0; with 0 lr is swa_lr at once. Default 10.
    anneal_strategy: "cos" or "linear". Default "cos".

    Unlike torch's, `last_epoch` goes on in the middle of the annealing; torch's starts it anew.

    Raises ValueError for settings out of range and a list of another length than there are groups.

    P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0], requires_grad=True)
    >>> p.grad, lrs = mg.tensor([0.0]), []
    >>> optimizer = optim.SGD([p], lr=1.0)
    >>> scheduler = SWALR(optimizer, swa_lr=0.2, anneal_epochs=4, anneal_strategy="linear")
    >>> for _ in range(5):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     lrs.append(round(optimizer.param_groups[0]["lr"], 3))
    >>> lrs
    [0.8, 0.6, 0.4, 0.2, 0.2]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        swa_lrs = for_each_group("SWALR: swa_lr", checked_optimizer("SWALR", optimizer), swa_lr)
        swa_lrs = [NONNEGATIVE("SWALR: swa_lr", value) for value in swa_lrs]
        self.anneal_epochs = count("SWALR: anneal_epochs", anneal_epochs)
        self._anneal_strategy = one_of("cos", "linear")("SWALR: anneal_strategy", anneal_strategy)
        with all_or_nothing(*optimizer.param_groups):
            for group, value in zip(optimizer.param_groups, swa_lrs, strict=True):
                group["swa_lr"] = value
            super().__init__(optimizer, last_epoch)

    def f(self, t: float) -> float:
        """The share of the way that is left at step t."""
        x = min(1.0, max(0.0, t) / self.anneal_epochs) if self.anneal_epochs else 1.0
        return half_cosine(x) if self._anneal_strategy == "cos" else 1 - x

    def get_lr(self) -> list[float]:
        """The groups' lrs at `self.last_epoch`, from what they are."""
        self._warn_outside_step()
        before, now = self.f(self.last_epoch - 1), self.f(self.last_epoch)
        lrs = []
        for i, group in enumerate(self.optimizer.param_groups):
            lr, swa_lr = self._get(group, "lr"), self._get(group, "swa_lr")
            start = before if i < len(self._last_lr) else self.f(0)  # a group that joins has come no part of the way
            r = now / start if start else 0.0
            lrs.append(r * lr + (1 - r) * swa_lr)
        return lrs

    def _get_closed_form_lr(self) -> list[float]:
        r, groups = self.f(self.last_epoch), self.optimizer.param_groups
        return [
            r * base + (1 - r) * self._get(group, "swa_lr") for base, group in zip(self.base_lrs, groups, strict=True)
        ]

    def _admit(self, group: dict[str, Any]) -> None:
        if "swa_lr" not in group:
            others = self.optimizer.param_groups[: len(self.base_lrs)]
            group["swa_lr"] = shared("SWALR: swa_lr", [self._get(other, "swa_lr") for other in others])
        super()._admit(group)


# --- batch norm


def update_bn(loader: Iterable[Any], model: Any, device: str | None = None) -> None:
    """Compute the running statistics of batch norm anew, as means over the batches of `loader`.

    To be called at the end: averaged weights have other activations than those whose statistics were copied.

    loader: batches, each the model's input, or a tuple or list whose first member that is.
    model: a model, or an AveragedModel; in it, modules with `reset_running_stats()` and `momentum`.
    device: where inputs are moved to first; they stay where they are by default.

    Afterwards every module is in the mode that it was in. A model without batch norm is left alone, and `loader` too.
    Raises ValueError where the loader gives no batch. Whatever raises, the statistics are then as before.
    """
    _check_model("update_bn", model, "modules", "train")
    norms = [module for module in model.modules() if hasattr(module, "reset_running_stats")]
    if not norms:
        return
    modes = [(module, module.training) for module in model.modules()]
    momenta = [(module, module.momentum) for module in norms]
    before = [(buffer, buffer.data.copy()) for module in norms for buffer in module.buffers()]
    try:
        for module in norms:
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
        model.train()
        _run_through(loader, model, device)
    except BaseException:
        for buffer, data in before:
            buffer[...] = data
        raise
    finally:
        for module, momentum in momenta:
            module.momentum = momentum
        for module, training in modes:
            module.training = training


@no_grad()
def _run_through(loader: Iterable[Any], model: Any, device: str | None) -> None:
    empty = True
    for batch in loader:
        x = batch[0] if isinstance(batch, tuple | list) else batch
        model(x if device is None else Tensor(as_array(x)).to(device))
        empty = False
    if empty:
        raise ValueError("update_bn: the loader gave no batch (an empty list, or a generator that was used up)")
