"""Derivatives: `backward` fills `.grad`, `grad` returns gradients, the others products with a Jacobian, or it all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy import ndarray  # looked up in each backward: as an attribute of np it takes three times as long

from minigrad import backend, checks, ops
from minigrad.backend import device_of, is_array, namespace
from minigrad.sparse import RowSparse
from minigrad.tape import Node, Variable, fitted, owned, raw, run_hooks, set_grad_enabled, walk

COMPLEX = {np.dtype(code) for code in "FDG"}


def backward(output: Any, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
    """Add the gradient of `output` to `.grad` of every leaf that it was computed from.

    gradient: the gradient of the output itself, of its shape; needed unless it has one element.
    retain_graph: keep the graph for another backward; it is freed on the way otherwise.
    create_graph: record the backward too, so that the gradients can be differentiated.

    Raises RuntimeError where nothing was recorded, where the graph is already freed, where a kept value was written
    in place since, and for more than one element without `gradient`; ValueError for a gradient of a wrong shape.
    When it raises, no `.grad` has changed.
    """
    seeds = [(output.node or output, _seed("backward", output, gradient, create_graph))]
    if create_graph:
        with set_grad_enabled(True):
            _accumulate(walk(seeds, True, True))
    else:
        _accumulate(walk(seeds, False, retain_graph))


def _accumulate(gradients: list[tuple[Any, Any]]) -> None:
    """Add gradients to `.grad` of their leaves, which owns its memory."""
    hooked = False
    for leaf, _ in gradients:
        if leaf.data.dtype in COMPLEX:
            raise TypeError(
                f"backward: a tensor of shape {leaf.data.shape} {leaf.data.dtype} wants a gradient; derivatives by "
                "complex numbers are not computed here, only taken: set its `.grad`"
            )
        if leaf.hooks:
            hooked = True
    for leaf, g in total(gradients).items() if hooked else gradients:
        if leaf._grad is not None:
            g = leaf.grad + g if isinstance(g, Variable) else leaf.grad.data + g
        if g.__class__ is ndarray:
            leaf._grad = g if g.base is None else g.copy()  # a Tensor once it is asked for
        elif isinstance(g, Variable):
            leaf._grad = ops.positive(g) if leaf._grad is None else g  # other leaves may have been given the same one
        elif isinstance(g, RowSparse):
            leaf._grad = g
        else:
            leaf._grad = Variable.Answer(_own(g))


def _own(g: Any) -> Any:
    """A leaf's raw gradient in memory of its own, where the way back has put it unless it is a view."""
    return g if g.base is None and not isinstance(g, np.generic) else owned(g)


def total(gradients: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """The sum of the gradients of each leaf or node, as the hooks of leaves leave it."""
    sums: dict[Any, Any] = {}
    for owner, g in gradients:
        sums[owner] = sums[owner] + g if owner in sums else g
    for owner, g in sums.items():
        if isinstance(owner, Variable) and owner.hooks:  # those of nodes have run on the way
            sums[owner] = run_hooks(owner.hooks, g)
    return sums


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    create_graph: bool = False,
    allow_unused: bool = False,
    retain_graph: bool | None = None,
) -> Any:
    """Gradients of `outputs` with respect to `inputs`, returned; no `.grad` is touched.

    They own their memory; only those with `create_graph` may share it with each other and with `grad_outputs`.

    outputs: a tensor, or a list or tuple of them.
    inputs: a tensor, or a list, tuple or dictionary of them; the answer has its form.
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
    if isinstance(inputs, Mapping):
        answers = grad(outputs, [*inputs.values()], grad_outputs, create_graph, allow_unused, retain_graph)
        return dict(zip(inputs, answers, strict=True))
    outs: Sequence[Any] = outputs if isinstance(outputs, list | tuple) else (outputs,)
    single = isinstance(inputs, Variable) or not hasattr(inputs, "__iter__")
    ins: Sequence[Any] = (inputs,) if single else tuple(inputs)
    seeds: Sequence[Any] = grad_outputs if outs is outputs and grad_outputs is not None else (grad_outputs,) * len(outs)
    if len(seeds) != len(outs):
        raise ValueError(f"grad: {len(outs)} outputs but {len(seeds)} grad_outputs")
    for i, tensor in enumerate(ins):
        if not isinstance(tensor, Variable):
            raise TypeError(f"grad: input {i}: expected a Tensor, got a {type(tensor).__name__}")
        if not tensor._requires_grad:
            raise RuntimeError(f"grad: input {i} does not require a gradient; set requires_grad=True before it is used")
    seeded: dict[Any, Any] = {}
    owners: list[Node | Variable] = [tensor.node or tensor for tensor in ins]
    wanted = frozenset(owners)
    with set_grad_enabled(create_graph):
        for out, seed in zip(outs, seeds, strict=True):
            if not isinstance(out, Variable):
                raise TypeError(f"grad: expected a Tensor to differentiate, got {type(out).__name__}")
            g = _seed("grad", out, seed, create_graph)
            owner = out.node or out
            seeded[owner] = seeded[owner] + g if owner in seeded else g
        keep = create_graph if retain_graph is None else retain_graph
        gradients = total(walk(seeded.items(), create_graph, keep, wanted))
    answers = [gradients.get(owner) for owner in owners]
    for i, answer in enumerate(answers):
        if answer is None and not allow_unused:
            raise RuntimeError(
                f"grad: the outputs don't depend on input {i} (shape {ins[i].data.shape}); "
                "allow_unused=True gives None for it"
            )
        if isinstance(answer, RowSparse):
            answers[i] = owned(answer)
        elif answer is not None and not isinstance(answer, Variable):
            alone = owners[i] is ins[i] and len(wanted) == len(ins)  # a leaf, which is asked for once
            answers[i] = Variable.Answer(_own(answer) if alone else owned(answer))
    return answers[0] if isinstance(inputs, Variable) else answers if isinstance(inputs, list) else tuple(answers)


def vjp(f: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    """f(inputs), and the product of the vector `v` with f's Jacobian there: vᵀ · J.

    f: a function of as many tensors as `inputs` has, which returns a tensor or several.
    inputs: a tensor, or a list or tuple of them.
    v: of the form and shapes of f's answer; not needed where that is a single element.
    create_graph: record, so that answer and product can be differentiated (true of all functions here).

    The product is a tensor of the shape of `inputs`, or a tuple of tensors where they are several; zeros for an input
    that f does not use.

    Raises TypeError for inputs, answers or a `v` that are no Tensors (`v` may be of arrays), ValueError for a `v` of
    another number or shape than the answers.

    >>> import minigrad as mg
    >>> mg.vjp(lambda x: x * x, mg.tensor([2.0, 3.0]), mg.tensor([1.0, 10.0]))
    (tensor([4., 9.]), tensor([ 4., 60.]))
    """
    ins, outs, answer = _evaluated("vjp", f, inputs, create_graph)
    vs = _fitting("vjp", "v", v, outs)
    return _released(answer, create_graph), _like(inputs, _gradients(outs, ins, vs, create_graph))


def jvp(f: Callable[..., Any], inputs: Any, tangents: Any, create_graph: bool = False) -> tuple[Any, Any]:
    """f(inputs), and the product of f's Jacobian there with `tangents`, of the form and shapes of `inputs`: J · t.

    Computed by two backward passes: uᵀ · J is linear in u, and its derivative along t is J · t. It has the form and
    shapes of f's answer, a tuple where that is a list.

    Raises TypeError for inputs, answers or tangents that are no Tensors (tangents may be arrays), ValueError for
    tangents of another number or shape than the inputs.

    >>> import minigrad as mg
    >>> mg.jvp(lambda x: (x * x).sum(), mg.tensor([2.0, 3.0]), mg.tensor([1.0, 10.0]))
    (tensor(13.), tensor(64.))
    """
    ins, outs, answer = _evaluated("jvp", f, inputs, create_graph)
    ts = _fitting("jvp", "tangents", tangents, ins)
    us = [Variable.Answer(np.zeros_like(out.data), None, True) for out in outs]
    products = _gradients(outs, ins, us, True)
    return _released(answer, create_graph), _like(answer, _gradients(products, us, ts, create_graph))


def hvp(f: Callable[..., Any], inputs: Any, vectors: Any, create_graph: bool = False) -> tuple[Any, Any]:
    """f(inputs) of one element, and the product of its Hessian there with `vectors`, of the shapes of `inputs`.

    Computed by two backward passes, without the Hessian. The product has the shapes of `inputs`, as of `vjp`.

    Raises TypeError for inputs, an answer or vectors that are no Tensors (vectors may be arrays), ValueError for an
    answer of several elements and for vectors of another number or shape than the inputs.

    >>> import minigrad as mg
    >>> mg.hvp(lambda x: (x * x * x).sum(), mg.tensor([2.0, 3.0]), mg.tensor([1.0, 10.0]))
    (tensor(35.), tensor([ 12., 180.]))
    """
    ins, outs, answer = _evaluated("hvp", f, inputs, create_graph)
    gradients = _gradients(_single("hvp", outs), ins, [None], True)
    vs = _fitting("hvp", "vectors", vectors, ins)
    return _released(answer, create_graph), _like(inputs, _gradients(gradients, ins, vs, create_graph))


def jacobian(f: Callable[..., Any], inputs: Any, create_graph: bool = False) -> Any:
    """The derivatives of each element of f(inputs) by each of the inputs, of shape (*answer.shape, *input.shape).

    A tensor where f takes one and returns one; a tuple over the inputs where `inputs` is one; of those a tuple over
    the answers where f returns several. It takes a backward pass for each element of the answers.

    Raises TypeError for inputs or answers that are no Tensors.

    >>> import minigrad as mg
    >>> mg.jacobian(lambda x: mg.stack([x[0] * x[1], x.sum()]), mg.tensor([2.0, 3.0]))
    tensor([[3., 2.],
            [1., 1.]])
    """
    ins, outs, answer = _evaluated("jacobian", f, inputs, create_graph)
    rows = [_like(inputs, _jacobian_of(out, ins, create_graph)) for out in outs]
    return _like(answer, rows)


def hessian(f: Callable[..., Any], inputs: Any, create_graph: bool = False) -> Any:
    """The second derivatives of f(inputs) of one element: a tensor of shape (*input.shape, *input.shape), or, where
    `inputs` is a tuple, a tuple of tuples: entry [i][j] has the shape of input i, then that of input j.

    Raises TypeError for inputs or an answer that are no Tensors, ValueError for an answer of several elements.

    >>> import minigrad as mg
    >>> mg.hessian(lambda x: x[0] * x[0] * x[1], mg.tensor([2.0, 3.0]))
    tensor([[6., 4.],
            [4., 0.]])
    """
    checks.function("hessian: f", f)

    def gradient(*ins: Any) -> Any:
        return _like(inputs, _gradients(_single("hessian", _outputs("hessian", f(*ins))), ins, [None], True))

    return jacobian(gradient, inputs, create_graph)


def _jacobian_of(out: Any, ins: Sequence[Any], create_graph: bool) -> list[Any]:
    rows = []
    for k in range(out.data.size):
        seed = np.zeros_like(out.data)
        seed.reshape(-1)[k] = 1
        rows.append(_gradients([out], ins, [Variable.Answer(seed)], create_graph, retain_graph=True))
    columns = zip(*rows, strict=True) if rows else [() for _ in ins]
    shape = out.data.shape
    return [
        ops.stack(column).reshape(*shape, *x.data.shape)
        if column
        else Variable.Answer(backend.zeros((*shape, *x.data.shape), x.data))
        for column, x in zip(columns, ins, strict=True)
    ]


def _many(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _like(form: Any, values: Sequence[Any]) -> Any:
    """Several values as a tuple where `form` is one (or a list), the only value where it is a tensor."""
    return tuple(values) if isinstance(form, list | tuple) else values[0]


def _evaluated(
    function: str, f: Callable[..., Any], inputs: Any, create_graph: bool
) -> tuple[Sequence[Any], Sequence[Any], Any]:
    """Tensors that require gradients with the values of `inputs`, and what f makes of them, as a list and as it is."""
    checks.function(f"{function}: f", f)
    for i, x in enumerate(_many(inputs)):
        if not isinstance(x, Variable):
            raise TypeError(f"{function}: input {i}: expected a Tensor, got {type(x).__name__}")
    with set_grad_enabled(True):
        ins = [x if create_graph and x._requires_grad else Variable.Answer(x.data, None, True) for x in _many(inputs)]
        answer = f(*ins)
    return ins, _outputs(function, answer), answer


def _outputs(function: str, answer: Any) -> Sequence[Any]:
    """The tensors that f returned, as a list."""
    for i, out in enumerate(_many(answer)):
        if not isinstance(out, Variable):
            raise TypeError(f"{function}: f must return Tensors, its answer {i} is of type {type(out).__name__}")
    return _many(answer)


def _released(answer: Any, create_graph: bool) -> Any:
    return answer if create_graph else _like(answer, [Variable.Answer(out.data) for out in _many(answer)])


def _single(function: str, outs: Sequence[Any]) -> Sequence[Any]:
    """The only output of f, which must be of one element."""
    if len(outs) != 1 or outs[0].data.size != 1:
        shapes = ", ".join(str(out.data.shape) for out in outs)
        raise ValueError(f"{function}: f must return a single element, got shape {shapes}")
    return outs


def _fitting(function: str, name: str, vectors: Any, tensors: Sequence[Any]) -> Sequence[Any]:
    """The vectors that were passed, one for each of the tensors and of its shape; ones for single elements."""
    given = [None] * len(tensors) if vectors is None else _many(vectors)
    if len(given) != len(tensors):
        raise ValueError(f"{function}: {name}: expected {len(tensors)} tensor(s), got {len(given)}")
    for vector, tensor in zip(given, tensors, strict=True):
        if not (vector is None or isinstance(vector, Variable | np.generic) or is_array(vector)):
            raise TypeError(f"{function}: {name}: expected a Tensor or an array, got {vector!r}")
        if tensor.data.size != 1 if vector is None else vector.shape != tensor.data.shape:
            got = "none" if vector is None else f"one of shape {vector.shape}"
            raise ValueError(f"{function}: {name}: expected a tensor of shape {tensor.data.shape}, got {got}")
    return given


def _gradients(
    outs: Sequence[Any], ins: Sequence[Any], seeds: Sequence[Any], create_graph: bool, retain_graph: bool | None = None
) -> list[Any]:
    """`grad` with zeros where nothing depends on an input."""
    pairs = [(out, seed) for out, seed in zip(outs, seeds, strict=True) if out._requires_grad]
    found = [None] * len(ins)
    if pairs:
        found = grad(
            [out for out, _ in pairs], list(ins), [seed for _, seed in pairs], create_graph, True, retain_graph
        )
    dense = [g.to_dense() if isinstance(g, RowSparse) else g for g in found]
    return [Variable.Answer(np.zeros_like(x.data)) if g is None else g for g, x in zip(dense, ins, strict=True)]


def _seed(operation: str, output: Any, gradient: Any, create_graph: bool) -> Any:
    """The gradient of an output to start from: the user's, or 1 for a single element."""
    data = output.data
    if not output._requires_grad:
        raise RuntimeError(
            f"{operation}: this tensor of shape {data.shape} was not computed from anything that requires a "
            "gradient, or only inside no_grad()"
        )
    usual = gradient.__class__ is data.__class__ is ndarray and not create_graph
    if usual and gradient.dtype is data.dtype and gradient.shape == data.shape:
        return gradient
    if gradient is None:
        if isinstance(data, np.ndarray) and data.ndim == 0 and not create_graph:
            return data.dtype.type(1)
        if data.size != 1:
            raise RuntimeError(
                f"{operation}: an output of shape {data.shape} needs its own gradient; only for a single element "
                "is it 1. Reduce it first (sum, mean) or pass a gradient of its shape"
            )
        backend.activate(data)
        seed = np.ones_like(data) if create_graph else backend.ones(1, data).reshape(data.shape)
    elif is_array(gradient) or isinstance(gradient, Variable):
        seed = gradient
    else:
        try:
            seed = namespace(data).asarray(np.asarray(gradient, dtype=data.dtype))
        except (TypeError, ValueError) as error:
            raise TypeError(f"{operation}: expected a gradient of shape {data.shape}, got {gradient!r}") from error
    if seed.shape != data.shape:
        raise ValueError(f"{operation}: a gradient of shape {seed.shape} for an output of shape {data.shape}")
    if not np.can_cast(seed.dtype, data.dtype, "same_kind"):
        raise TypeError(f"{operation}: a gradient of type {seed.dtype} for an output of type {data.dtype}")
    device = device_of(raw(seed))
    if device != device_of(data):
        raise ValueError(f"{operation}: a gradient on {device} for an output on {device_of(data)}")
    seed = fitted(seed, data.shape, data.dtype)
    if create_graph:
        return seed if isinstance(seed, Variable) else Variable.Answer(seed)
    return raw(seed)
