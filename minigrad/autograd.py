"""Derivatives: `backward` fills `.grad`, `grad` returns gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import is_array
from minigrad.tape import Node, Variable, run_hooks, set_grad_enabled, walk


def backward(output: Any, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Add the gradient of `output` to `.grad` of every leaf that it was computed from.

    gradient: the gradient of the output itself, of its shape; needed unless it has one element.
    retain_graph: keep the graph for another backward; it is freed on the way otherwise.
    create_graph: record the backward too, so that the gradients can be differentiated.

    Raises RuntimeError where nothing was recorded, where the graph is already freed, where a kept value was written
    in place since, and for more than one element without `gradient`; ValueError for a gradient of a wrong shape.
    When it raises, no `.grad` has changed.
    """
    gradients = {output.node or output: _seed("backward", output, gradient, create_graph)}
    if create_graph:
        with set_grad_enabled(True):
            borrowed = walk(gradients, True, True)
            _accumulate(gradients, borrowed)
    else:
        borrowed = walk(gradients, False, retain_graph)
        _accumulate(gradients, borrowed)


def _accumulate(gradients: dict[Any, Any], borrowed: set[Any]) -> None:
    """Add gradients to `.grad` of their leaves; it owns its memory, so a borrowed array is copied."""
    for leaf in gradients:
        if leaf.hooks:  # before anything changes: a hook may raise
            gradients[leaf] = run_hooks(leaf.hooks, gradients[leaf])
    for leaf, g in gradients.items():
        present = leaf._grad
        if isinstance(g, Variable):
            leaf._grad = g if present is None else present + g
        elif present is not None:
            leaf._grad = Variable.Answer(present.data + g)
        else:
            leaf._grad = Variable.Answer(owned(g) if leaf in borrowed else g)


def owned(g: Any) -> Any:
    """A copy of a raw gradient, in C order."""
    return np.array(g, order="C") if isinstance(g, np.ndarray | np.generic) else g.copy()


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    create_graph: bool = False,
    allow_unused: bool = False,
    retain_graph: bool | None = None,
) -> Any:
    """Gradients of `outputs` with respect to `inputs`, returned; no `.grad` is touched.

    outputs, inputs: a tensor, or a list or tuple of them; the answer has the form of `inputs`.
    grad_outputs: the gradients of the outputs, of their shapes; needed where an output has more than one element.
    create_graph: record the backward, so that the answer can be differentiated again.
    allow_unused: give None for an input that the outputs don't depend on, where RuntimeError is raised otherwise.
    retain_graph: keep the graph for another backward; by default, what create_graph says.

    >>> import minigrad as mg
    >>> x = mg.tensor(3.0, requires_grad=True)
    >>> dy = mg.grad(x**3, x, create_graph=True)
    >>> dy.item(), mg.grad(dy, x).item()
    (27.0, 18.0)
    """
    outs: Sequence[Any] = outputs if isinstance(outputs, list | tuple) else (outputs,)
    ins: Sequence[Any] = inputs if isinstance(inputs, list | tuple) else (inputs,)
    seeds: Sequence[Any] = grad_outputs if isinstance(grad_outputs, list | tuple) else (grad_outputs,) * len(outs)
    if len(seeds) != len(outs):
        raise ValueError(f"grad: {len(outs)} outputs but {len(seeds)} grad_outputs")
    for i, tensor in enumerate(ins):
        if not isinstance(tensor, Variable) or not tensor._requires_grad:
            raise RuntimeError(f"grad: input {i} does not require a gradient; set requires_grad=True before it is used")
    gradients: dict[Any, Any] = {}
    owners: list[Node | Variable] = [tensor.node or tensor for tensor in ins]
    with set_grad_enabled(create_graph):
        for out, seed in zip(outs, seeds, strict=True):
            g = _seed("grad", out, seed, create_graph)
            owner = out.node or out
            gradients[owner] = gradients[owner] + g if owner in gradients else g
        walk(gradients, create_graph, create_graph if retain_graph is None else retain_graph, frozenset(owners))
    answers = [gradients.get(owner) for owner in owners]
    for i, answer in enumerate(answers):
        if answer is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs don't depend on input {i} (shape {ins[i].data.shape}); "
                "allow_unused=True gives None for it"
            )
        if answer is not None and not isinstance(answer, Variable):
            answers[i] = Variable.Answer(owned(answer))
    return type(inputs)(answers) if isinstance(inputs, list | tuple) else answers[0]


def _seed(operation: str, output: Any, gradient: Any, create_graph: bool) -> Any:
    """The gradient of an output to start from: the user's, or 1 for a single element."""
    if not isinstance(output, Variable):
        raise TypeError(f"{operation}: expected a Tensor to differentiate, got {type(output).__name__}")
    if not output._requires_grad:
        raise RuntimeError(
            f"{operation}: this tensor of shape {output.data.shape} was not computed from anything that requires a "
            "gradient, or only inside no_grad()"
        )
    data = output.data
    if gradient is None:
        if isinstance(data, np.ndarray) and data.ndim == 0 and not create_graph:
            return data.dtype.type(1)
        if data.size != 1:
            raise RuntimeError(
                f"{operation}: an output of shape {data.shape} needs its own gradient; only for a single element "
                "is it 1. Reduce it first (sum, mean) or pass a gradient of its shape"
            )
        seed = np.ones_like(data)
    else:
        seed = gradient if is_array(gradient) or isinstance(gradient, Variable) else np.full_like(data, gradient)
        if seed.shape != data.shape:
            raise ValueError(f"{operation}: a gradient of shape {seed.shape} for an output of shape {data.shape}")
    if create_graph:
        return seed if isinstance(seed, Variable) else Variable.Answer(seed)
    return seed.data if isinstance(seed, Variable) else seed
