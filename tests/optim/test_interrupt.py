"""Ctrl-C inside a step waits for its end."""

import signal
import threading
import time

import numpy as np
import pytest

import nn
import optim
import optim.elementwise
from optim.formula import execution
from optim.interrupt import uninterrupted

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")


def interrupting(monkeypatch, at):
    """Have each formula that runs raise SIGINT after `at` parameters are written."""
    written = []
    bind = optim.elementwise.executor

    def executor(*arguments):
        run, prepare = bind(*arguments)

        def interrupted(*given):
            if len(written) == at:
                signal.raise_signal(signal.SIGINT)
            run(*given)
            written.append(1)

        return interrupted, prepare

    monkeypatch.setattr(optim.elementwise, "executor", executor)


def optimizer_of(n=3, cls=optim.Adam):
    params = [nn.Parameter(np.ones(2)) for _ in range(n)]
    for p in params:
        p.grad = np.ones(2)
    return params, cls(params, lr=0.5)


@pytest.fixture
def handler():
    """Set a SIGINT handler for one test."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda new: signal.signal(signal.SIGINT, new)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("name", ["eager", "blocked", "numba"])
def test_an_interrupt_in_a_step_comes_after_all_parameters_are_written(monkeypatch, at, name):
    params, optimizer = optimizer_of()
    interrupting(monkeypatch, at)
    with execution(name), pytest.raises(KeyboardInterrupt):
        optimizer.step()
    for p in params:
        np.testing.assert_allclose(p.numpy(), 0.5, atol=1e-6)
        assert optimizer.state[p]["step"] == 1
    optimizer.step()
    assert [optimizer.state[p]["step"] for p in params] == [2, 2, 2]


def test_the_version_of_the_parameters_is_noted_though_interrupted(monkeypatch):
    params, optimizer = optimizer_of()
    loss = sum(((p * p).sum() for p in params[1:]), (params[0] * params[0]).sum())
    interrupting(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step()
    with pytest.raises(RuntimeError, match="written in place"):
        loss.backward()


def test_real_interrupts_at_any_moment_leave_all_or_nothing():
    params = [nn.Parameter(np.ones(20_000)) for _ in range(8)]
    for p in params:
        p.grad = np.ones(20_000)
    optimizer = optim.Adam(params, lr=1e-3)
    optimizer.step()
    rng, alarms, interrupted = np.random.default_rng(0), 0, 0

    def interrupt(*_):
        nonlocal alarms
        alarms += 1
        signal.raise_signal(signal.SIGINT)

    for rounds in range(1, 61):
        try:
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(1e-5, 2e-3)))
            # Python drops what is raised inside a callback of its garbage collector, and Hypothesis has one:
            # such an interrupt never comes, so it is the alarm that is waited for.
            while alarms < rounds:
                optimizer.step()
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        assert len({optimizer.state[p]["step"] for p in params}) == 1
        assert all(np.array_equal(p.numpy(), params[0].numpy()) for p in params)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert interrupted > 30


@pytest.mark.parametrize("kind", ["ignore", "default", "own"])
def test_handlers_are_put_back(handler, kind):
    seen = []
    own = lambda *given: seen.append(given)
    before = {"ignore": signal.SIG_IGN, "default": signal.SIG_DFL, "own": own}[kind]
    handler(before)
    _, optimizer = optimizer_of()
    optimizer.step()
    assert signal.getsignal(signal.SIGINT) is before
    assert not seen


def test_an_ignored_interrupt_stays_ignored(handler, monkeypatch):
    handler(signal.SIG_IGN)
    params, optimizer = optimizer_of()
    interrupting(monkeypatch, 1)
    optimizer.step()
    assert optimizer.state[params[2]]["step"] == 1


def test_a_handler_of_ones_own_is_called_once_with_what_python_gives(handler, monkeypatch):
    seen = []
    handler(lambda number, frame: seen.append((number, type(frame).__name__)))
    _, optimizer = optimizer_of()
    interrupting(monkeypatch, 0)
    optimizer.step()
    assert seen == [(signal.SIGINT, "frame")]


def test_handlers_are_put_back_after_an_error():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        uninterrupted(lambda: 1 / 0)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_and_an_interrupt_are_both_seen():
    def fail():
        signal.raise_signal(signal.SIGINT)
        raise ZeroDivisionError

    with pytest.raises(KeyboardInterrupt) as caught:
        uninterrupted(fail)
    assert isinstance(caught.value.__context__, ZeroDivisionError)


def test_other_threads_touch_no_handler(monkeypatch):
    def refuse(*_):
        raise AssertionError("a handler was set")

    params, optimizer = optimizer_of()
    errors = []

    def work():
        try:
            optimizer.step()
        except BaseException as error:
            errors.append(error)

    monkeypatch.setattr("_signal.signal", refuse)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    monkeypatch.undo()
    assert not errors
    assert optimizer.state[params[0]]["step"] == 1


def test_an_interrupt_of_the_main_thread_does_not_disturb_a_step_elsewhere():
    params = [nn.Parameter(np.ones(200_000)) for _ in range(4)]
    for p in params:
        p.grad = np.ones(200_000)
    optimizer = optim.Adam(params)
    thread = threading.Thread(target=lambda: [optimizer.step() for _ in range(20)])
    with pytest.raises(KeyboardInterrupt):
        thread.start()
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)
    thread.join()
    assert {optimizer.state[p]["step"] for p in params} == {20}
