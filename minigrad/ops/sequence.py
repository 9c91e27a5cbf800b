"""Operations on any number of arrays."""

from __future__ import annotations

import functools
import inspect

from minigrad.tape import differentiable


def on_sequence(rule_of):
    """Make a function of (arrays, *options) an operation on the arrays, whatever their number n.

    The tape wants each input under a name of its own, so an operation of n inputs, `x0` ... and the options, is made
    when n first comes. rule_of(i, inputs) gives the rule of input i, which may name any of `inputs`.
    """

    def decorate(forward):
        options = list(inspect.signature(forward).parameters.values())[1:]

        @functools.lru_cache(maxsize=256)
        def operation(n):
            inputs = [f"x{i}" for i in range(n)]

            def of_n(*args):
                return forward(args[:n], *args[n:])

            of_n.__name__ = forward.__name__.strip("_")
            parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in inputs]
            of_n.__signature__ = inspect.Signature([*parameters, *options])  # type: ignore[attr-defined]
            return differentiable(*(rule_of(i, inputs) for i in range(n)))(of_n)

        @functools.wraps(forward)
        def function(arrays, *args, **kwargs):
            return operation(len(arrays))(*arrays, *args, **kwargs)

        return function

    return decorate


def with_parameters(names, function):
    """`function`, its parameters known to the tape as `names`."""
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    function.__signature__ = inspect.Signature(parameters)
    return function
