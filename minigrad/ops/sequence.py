"""Operations on any number of arrays."""

from __future__ import annotations

import functools
import inspect

from minigrad.tape import differentiable

MANY = 16
"""The most inputs of one operation: writing the function of so many takes some milliseconds."""


def batched(arrays):
    """Parts of a list, of at most `MANY` each."""
    return [arrays[i : i + MANY] for i in range(0, len(arrays), MANY)]


def on_sequence(rule_of):
    """Make a function of (arrays, *options) an operation on the arrays, whatever their number n.

    The tape wants each input under a name of its own, so an operation of n inputs, `x0` ... and the options, is made
    when n first comes. rule_of(i, inputs) gives the rule of input i, which may name any of `inputs`. Options are no
    Tensors: a default tells the tape so.
    """

    def decorate(forward):
        options = list(inspect.signature(forward).parameters)[1:]

        @functools.cache
        def operation(n):
            inputs = [f"x{i}" for i in range(n)]
            parameters = ", ".join([*inputs, *(f"{option}=None" for option in options)])
            arguments = ", ".join([f"[{', '.join(inputs)}]", *options])
            of_n = eval(f"lambda {parameters}: forward({arguments})", {"forward": forward})
            of_n.__name__ = forward.__name__
            return differentiable(*(rule_of(i, inputs) for i in range(n)))(of_n)

        @functools.wraps(forward)
        def function(arrays, *args):
            return operation(len(arrays))(*arrays, *args)

        return function

    return decorate


def with_parameters(names, function):
    """`function`, its parameters known to the tape as `names`."""
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    function.__signature__ = inspect.Signature(parameters)
    return function
