"""Ctrl-C while parameters are being written waits until they all are."""

from __future__ import annotations

import _signal  # the C functions: `signal.signal` adds enum conversions that cost as much as a small step
import threading
from collections.abc import Callable
from typing import Any

_main_thread = threading.main_thread().ident
_arrived: list[tuple[Any, ...]] = []  # what the handler of a SIGINT is called with


def _note(*arguments: Any) -> None:
    _arrived.append(arguments)


def uninterrupted(work: Callable[..., None], *arguments: Any) -> None:
    """Run `work(*arguments)`; a SIGINT that arrives meanwhile takes effect when it has ended.

    Python runs signal handlers in the main thread only, so in any other there is nothing to do.
    """
    # a handler that is not Python's (None) can't be put back, so it is left alone
    if threading.get_ident() != _main_thread or _signal.getsignal(_signal.SIGINT) is None:
        work(*arguments)
        return
    previous = _signal.signal(_signal.SIGINT, _note)
    try:
        work(*arguments)
    finally:
        _signal.signal(_signal.SIGINT, previous)
        if _arrived:
            first = _arrived[0]
            _arrived.clear()
            if callable(previous):
                previous(*first)
            elif previous != _signal.SIG_IGN:
                _signal.raise_signal(_signal.SIGINT)
