"""A whole training step as one CUDA graph: recorded once, then launched with a single call.

A step of a small network is hundreds of short kernels, and launching them costs more than running them. `capture`
records the launches of one step and replays them. What the host computes anew in each step (a learning rate, bias
corrections, the state of a random stream) would be frozen in the recording: it stands in device memory instead, in
pages that one launch fills before each replay.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import backend, cublas, pcg64
from minigrad.tape import enable_grad
from minigrad.tensor import Tensor

__all__ = ["CapturedStep", "capture", "memory_summary"]

WARM_UP = 2
"""Steps that run as they are before one is recorded: they compile kernels, allocate state, and fill the memory pool."""
PAGE = 480
"""Words of 8 bytes that one launch can carry to the device."""

Prepare = Callable[[], tuple[Sequence[Any], Callable[[], None]]]
"""Gives what the host computes for the next step, as arrays of 8-byte values, and what to do once the step is sure."""

_store = backend.RawKernel(
    f"""
struct Words {{ unsigned long long word[{PAGE}]; }};
extern "C" __global__ void store(const Words from, unsigned long long *to) {{
    to[threadIdx.x] = from.word[threadIdx.x];
}}
""",
    "store",
)


class StaleError(Exception):
    """A recording no longer is what the step would do: the next step runs as it is, and is recorded again."""


class _Slot:
    """Some words of a page."""

    def __init__(self, page: _Page, place: slice) -> None:
        self.page, self.place, self.device = page, place, page.device[place]

    def fill(self, values: Any) -> None:
        self.page.host["word"][0, self.place] = values.view(np.uint64)


class _Page:
    """Words in device memory beside what they are to be for the next replay."""

    def __init__(self, cupy: Any) -> None:
        self.used = 0
        self.host = np.zeros(1, np.dtype([("word", np.uint64, PAGE)]))
        self.device = cupy.empty(PAGE, dtype=np.uint64)

    def send(self) -> None:
        _store((1,), (PAGE,), (backend.struct(self.host), self.device))


class Recording:
    """One captured step: its graph, and the host values that each replay takes anew."""

    def __init__(self, device: str) -> None:
        self.cupy = backend.cupy_for(device)
        self.graph: Any = None
        self.outputs: Any = None
        self._pages: list[_Page] = []
        self._sources: list[tuple[list[Any], Prepare]] = []
        self._draws: list[tuple[_Slot, int]] = []
        self._memory: list[Any] = []  # what the graph writes to, which no one else may have while it can run

    def allocate(self, size: int) -> Any:
        """Memory of CuPy's pool for the graph, which keeps it."""
        self._memory.append(self.cupy.get_default_memory_pool().malloc(size))
        return self._memory[-1]

    @functools.cached_property
    def work_space(self) -> Any:
        """What cuBLAS may write to in between."""
        return self.cupy.empty(cublas.WORK_SPACE, dtype=np.uint8)

    def each_replay(self, sizes: Sequence[int], prepare: Prepare) -> list[Any]:
        """Device arrays of so many 8-byte words each, which every replay finds filled with what `prepare()` gives.

        `prepare` changes nothing; the function that it gives beside the values is called when the replay is certain.
        It may raise StaleError.
        """
        slots = [self._slot(size) for size in sizes]
        self._sources.append((slots, prepare))
        return [slot.device for slot in slots]

    def drawn(self, n: int) -> Any:
        """Device words that every replay finds filled with the random stream, from which the step takes n numbers."""
        slot = self._slot(pcg64.WORDS)
        self._draws.append((slot, n))
        return slot.device

    def _slot(self, size: int) -> _Slot:
        if size > PAGE:
            raise ValueError(f"capture: {size} values for one launch, at most {PAGE} are possible")
        if not self._pages or self._pages[-1].used + size > PAGE:
            self._pages.append(_Page(self.cupy))
        page = self._pages[-1]
        page.used += size
        return _Slot(page, slice(page.used - size, page.used))

    def replay(self) -> None:
        """Compute the host's values for this step, send them, launch the graph."""
        prepared = [(slots, *prepare()) for slots, prepare in self._sources]
        for slots, values, _ in prepared:
            for slot, array in zip(slots, values, strict=True):
                slot.fill(array)
        self._continue_stream()
        for _, _, commit in prepared:
            commit()
        for page in self._pages:
            page.send()
        self.graph.launch()

    def _continue_stream(self) -> None:
        if not self._draws:
            return
        generator = backend.default_generator().bit_generator
        state = generator.state
        for slot, n in self._draws:
            slot.fill(pcg64.words(state))
            state = pcg64.advanced(state, n)
        generator.state = state


class CapturedStep:
    """A training step that is recorded, and replayed; what `capture` gives."""

    def __init__(self, step: Callable[..., Any], device: str) -> None:
        functools.update_wrapper(self, step)
        self.step, self.device = step, device
        self._shapes: dict[Any, _Shape] = {}

    def __call__(self, *batch: Any) -> Any:
        """Do one step; the answer is the step's, in memory of its own."""
        arrays = [_array(i, given) for i, given in enumerate(batch)]
        if self.device == "cpu":
            return self.step(*(Tensor(array) for array in arrays))
        key = tuple((array.shape, array.dtype.str) for array in arrays)
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = _Shape(self.step, self.device, arrays)
        return shape.run(arrays)


class _Shape:
    """The step for batches of one shape: its fixed buffers, and its recording once it is warm."""

    def __init__(self, step: Callable[..., Any], device: str, arrays: list[Any]) -> None:
        self.step, self.device = step, device
        cupy = backend.cupy_for(device)
        self.cuda, self.gpu = cupy.cuda, cupy.cuda.Device(int(device.removeprefix("cuda:")))
        with self.gpu:
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self.buffers = [cupy.empty(array.shape, dtype=array.dtype) for array in arrays]
        self.runs = 0
        self.recording: Recording | None = None

    def run(self, arrays: list[Any]) -> Any:
        with self.gpu:
            return self._run(arrays)

    def _run(self, arrays: list[Any]) -> Any:
        for buffer, array in zip(self.buffers, arrays, strict=True):
            backend.copy_into(buffer, array)
        if self.runs < WARM_UP:
            return self._plain()
        try:
            if self.recording is None:
                self.recording = self._recorded()
            self.recording.replay()
        except StaleError:
            self.recording, self.runs = None, WARM_UP - 1
            return self._plain()
        return _copied(self.recording.outputs)

    def _arguments(self) -> list[Tensor]:
        return [Tensor(buffer) for buffer in self.buffers]

    def _plain(self) -> Any:
        """The step as it is, on the stream that will record it, so that libraries have their memory for it."""
        here = self.cuda.get_current_stream()
        self.stream.wait_event(here.record())
        with self.stream:
            answer = self.step(*self._arguments())
        here.wait_event(self.stream.record())
        self.runs += 1
        return answer

    def _recorded(self) -> Recording:
        backend.refuse("another captured step")
        made = Recording(self.device)
        error: BaseException | None = None
        with self.cuda.using_allocator(made.allocate), self.stream, enable_grad():
            self.stream.begin_capture()
            backend.thread.recording = made
            try:
                made.outputs = self.step(*self._arguments())
            except BaseException as raised:
                error = raised
            finally:
                backend.thread.recording = None
                try:
                    made.graph = self.stream.end_capture()
                except Exception as raised:  # a capture that broke off has no graph
                    error = error or raised
        if error is None:
            return made
        cupys = type(error).__module__.startswith("cupy") and not isinstance(error, MemoryError)
        if cupys or "stream captur" in str(error) or "is capturing" in str(error):
            raise RuntimeError(
                f"capture: the step did something that a graph can't record ({error}). It must not read values of the "
                "device (item, float, bool, numpy, printing), bring arrays from the host, nor use CuPy's own products "
                "(einsum, or @ of arrays that are no Tensors)"
            ) from error
        raise error


def capture(step: Callable[..., Any] | None = None, *, device: str = "cuda") -> Any:
    """Make a function that does a training step by replaying a CUDA graph; also usable as a decorator.

    step: takes the batch as Tensors, and does all of a step: it clears the gradients, computes the loss, calls
        backward, and the optimizer's step. It returns a Tensor, a tuple or list of them, or None.
    device: where the model is. With "cpu" the function calls `step` as it is, so that one program runs on both.

    The function takes arrays or Tensors, which are copied into fixed buffers on the device, and does exactly one step
    a call. For each new shape of batch, the first two calls run the step as it is and the third records it. Its
    answer is a copy that later calls leave alone.

    Between calls, settings of the optimizer may change (a scheduler's step, say): learning rates, step counts and the
    state of the random stream (dropout) are not frozen in the recording. All else that the host computes inside the
    step is: what the step does must not depend on Python values that change.

    Raises RuntimeError for a step that can't be recorded: that reads values of the device or brings arrays to it (as
    joining more than eight arrays does), an optimizer with hooks or with `skip_nonfinite`, or one that computes
    gradients itself (LBFGS, AdaHessian, Nesterov), row-sparse gradients (how many rows are distinct, only the device
    knows), `einsum` of several operands, a scheduler's step; the parameters are then as before the call, their
    gradients hold nothing of use. Raises TypeError for a batch that has anything but arrays and Tensors.

    >>> import numpy as np, minigrad as mg, optim
    >>> device = "cpu"  # or "cuda"
    >>> w = mg.tensor([0.0], device=device, requires_grad=True)
    >>> optimizer = optim.SGD([w], lr=0.1)
    >>> @mg.cuda.capture(device=device)
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = ((w * x - y) ** 2).mean()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x = np.array([1.0, 2.0], np.float32)
    >>> [round(step(x, 2 * x).item(), 3) for _ in range(4)]  # the error of w halves each step
    [10.0, 2.5, 0.625, 0.156]
    """
    if step is None:
        return functools.partial(capture, device=device)
    if not callable(step):
        raise TypeError(f"capture: expected a function, got a {type(step).__name__}")
    return CapturedStep(step, backend.checked_device(device))


def _array(position: int, given: Any) -> Any:
    array = given.data if isinstance(given, Tensor) else given
    if not backend.is_array(array):
        raise TypeError(
            f"captured step: argument {position} must be an array or a Tensor, got a {type(given).__name__}; a number "
            "would be frozen in the recording"
        )
    return array


def _copied(answer: Any) -> Any:
    if isinstance(answer, tuple | list):
        return type(answer)(_copied(part) for part in answer)
    return Tensor(answer.data.copy()) if isinstance(answer, Tensor) else answer


def memory_summary() -> str:
    """What lies in the memory of the GPUs, a line each, in MiB.

    In use is what arrays hold and what captured steps keep. The pool keeps freed memory for the next arrays: it is
    listed beside what is in use, not as part of it. Free is what the driver could still give, to any program.
    """
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return "no memory of a GPU is in use: CuPy has not been loaded"
    pool = cupy.get_default_memory_pool()
    lines = [f"{'':8}{'in use':>12}{'free in pool':>14}{'free':>12}{'of all':>12}   MiB"]
    for index in range(cupy.cuda.runtime.getDeviceCount()):
        with cupy.cuda.Device(index) as device:
            free, total = device.mem_info
            sizes = (pool.used_bytes(), 12), (pool.free_bytes(), 14), (free, 12), (total, 12)
        lines.append(f"{f'cuda:{index}':8}" + "".join(f"{size / 2**20:>{width}.1f}" for size, width in sizes))
    return "\n".join(lines)
