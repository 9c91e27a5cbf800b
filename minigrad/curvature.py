"""Curvature by its products with vectors: of matrices that are too large to be built, and what products tell of them.

The Hessian's are `hvp`'s. Here are those of the Gauss–Newton and the Fisher matrix, and estimates that take any
symmetric matrix as a function `product`, v ↦ A·v, for example `lambda v: mg.hvp(f, x, v)[1]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.autograd import _evaluated, _fitting, _gradients, _like, _many, _released, _single
from minigrad.checks import NONNEGATIVE, from_one, function, one_of, optional, whole
from minigrad.tape import Variable
from minigrad.vectors import dot, join, norm, split

Vectors = Sequence[Any]
Product = Callable[[Any], Any]


def gradient_and_hvp(loss: Any, inputs: Vectors) -> tuple[list[Any], Callable[[Vectors], list[Any]]]:
    """The gradient of a recorded `loss` by `inputs`, and the function v ↦ H·v, which keeps the graph while it lives."""
    gradients = _gradients([loss], inputs, [None], True)

    def product(vectors: Vectors) -> list[Any]:
        return _gradients(gradients, inputs, vectors, False, retain_graph=True)

    return [Variable.Answer(g.data) for g in gradients], product


def jacobian_products(
    outputs: Vectors, inputs: Vectors
) -> tuple[Callable[[Vectors], list[Any]], Callable[[Vectors], list[Any]]]:
    """The functions t ↦ J·t and u ↦ uᵀ·J for the Jacobian of recorded `outputs` by `inputs`.

    uᵀ·J is linear in u, so that its derivative by u along t is J·t: that graph is recorded once, at any u.
    """
    us = [Variable.Answer(np.zeros_like(out.data), None, True) for out in outputs]
    rows = _gradients(outputs, inputs, us, True)

    def jv(tangents: Vectors) -> list[Any]:
        return _gradients(rows, us, tangents, False, retain_graph=True)

    def vj(vectors: Vectors) -> list[Any]:
        return _gradients(outputs, inputs, vectors, False, retain_graph=True)

    return jv, vj


# --- products


def gnvp(f: Callable[..., Any], loss: Callable[..., Any], inputs: Any, vectors: Any) -> tuple[Any, Any]:
    """loss(f(inputs)), and the product of the generalised Gauss–Newton matrix there with `vectors`: Jᵀ · H · J · v.

    J is the Jacobian of f, H the Hessian of the loss by f's answers. The matrix is positive semi-definite where the
    loss is convex, and it is the Hessian where f is linear, or where the loss is at its minimum.

    f: a function of as many tensors as `inputs` has, which returns a tensor or several.
    loss: a function of f's answers, which returns a single element.
    vectors: of the form and shapes of `inputs`, as is the product.

    Raises TypeError and ValueError for what does not fit, as `hvp` does.

    Source: Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent" (2002), section 3.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], dtype="float64")
    >>> value, product = mg.gnvp(lambda x: x**2, lambda z: (z**2).sum(), x, mg.tensor([1.0, 1.0], dtype="float64"))
    >>> value.item(), product.tolist()  # J = diag(2x), H = 2
    (17.0, [8.0, 32.0])
    """
    ins, outs, _ = _evaluated("gnvp", f, inputs, False)
    vs = _fitting("gnvp", "vectors", vectors, ins)
    jv, vj = jacobian_products(outs, ins)
    zs, losses, value = _evaluated("gnvp (loss)", loss, [Variable.Answer(out.data) for out in outs], False)
    _, hvp = gradient_and_hvp(_single("gnvp (loss)", losses)[0], zs)
    return _released(value, False), _like(inputs, vj(hvp(jv(vs))))


def fvp(log_probs: Callable[..., Any], inputs: Any, vectors: Any) -> tuple[Any, Any]:
    """log_probs(inputs), and the product of the Fisher information matrix there with `vectors`.

    F = 1/N · Σₙ Σ_c p(c|n) · ∇log p(c|n) · ∇log p(c|n)ᵀ: the mean over the N examples of the expectation over the
    model's own distribution, which is summed and not sampled. Where the distribution is `softmax` of f's answers, it is
    `gnvp` of f with the mean cross entropy, whatever the labels are.

    log_probs: a function of as many tensors as `inputs` has, which returns log p(c|n) as one tensor of shape
        (..., number of outcomes), as `log_softmax` does.
    vectors: of the form and shapes of `inputs`, as is the product.

    Raises TypeError and ValueError for what does not fit.

    Source: Martens, "New Insights and Perspectives on the Natural Gradient Method" (2020), sections 5 and 9.2.

    >>> import minigrad as mg
    >>> x = mg.tensor([[0.0, 0.0]], dtype="float64")
    >>> logs, product = mg.fvp(mg.log_softmax, x, mg.tensor([[1.0, 0.0]], dtype="float64"))
    >>> product.tolist()  # F = diag(p) - p·pᵀ
    [[0.25, -0.25]]
    """
    return _mean_outer("fvp", log_probs, inputs, vectors, np.exp, 1)


def empirical_fvp(log_likelihoods: Callable[..., Any], inputs: Any, vectors: Any) -> tuple[Any, Any]:
    """log_likelihoods(inputs), and the product of the empirical Fisher matrix there with `vectors`.

    1/N · Σₙ ∇log p(yₙ|n) · ∇log p(yₙ|n)ᵀ, at the labels y of the data. It is not the Fisher matrix, nor an estimate of
    it: the labels are not the model's.

    log_likelihoods: a function of as many tensors as `inputs` has, which returns one tensor with an element for each
        example: log p(yₙ|n), or its negative, the loss.
    vectors: of the form and shapes of `inputs`, as is the product.

    Raises TypeError and ValueError for what does not fit.

    Source: Martens (2020), section 11; Kunstner et al., "Limitations of the Empirical Fisher Approximation" (2019),
    equation 3, divided by N.
    """
    return _mean_outer("empirical_fvp", log_likelihoods, inputs, vectors, np.ones_like, 0)


def _mean_outer(
    function: str, f: Callable[..., Any], inputs: Any, vectors: Any, weights: Callable[[Any], Any], axes: int
) -> tuple[Any, Any]:
    """f(inputs), and 1/N · Jᵀ · diag(weights) · J · v; the last `axes` axes of f's answer are of one example."""
    ins, outs, answer = _evaluated(function, f, inputs, False)
    if len(outs) != 1 or outs[0].data.ndim < axes:
        shapes = ", ".join(str(out.data.shape) for out in outs)
        what = "with an axis of outcomes" if axes else "with an element for each example"
        raise ValueError(f"{function}: expected one tensor {what}, got shape {shapes}")
    vs = _fitting(function, "vectors", vectors, ins)
    jv, vj = jacobian_products(outs, ins)
    z = outs[0].data
    count = max(1, math.prod(z.shape[: z.ndim - axes]))
    with np.errstate(all="ignore"):
        weighted = Variable.Answer(weights(z) * jv(vs)[0].data / count)
    return _released(answer, False), _like(inputs, vj([weighted]))


# --- estimates


def hutchinson_trace(
    product: Product, inputs: Any, samples: int = 10, generator: np.random.Generator | None = None
) -> tuple[float, float]:
    """An unbiased estimate of the trace of A, and its standard error: the mean of zᵀ·A·z over random signs z.

    Exact with one sample where A is diagonal; otherwise the variance of a sample is 2·Σ_{i≠j} A_ij².

    product: v ↦ A·v, for a symmetric A; v and the answer have the form and shapes of `inputs`.
    inputs: a tensor or several: only their shapes, types and device are used.
    samples: how many, ≥ 1. Default 10. The standard error of a single one is NaN.
    generator: of the signs. Default None: this thread's (`manual_seed`).

    Raises ValueError for samples that are no whole number from 1, and where the product has other shapes, TypeError for
    another kind of generator, a product that is no function, and tensors that are not floating-point.

    Source: Hutchinson, "A stochastic estimator of the trace of the influence matrix" (1989), equation 2.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], dtype="float64")
    >>> mg.hutchinson_trace(lambda v: mg.hvp(lambda x: (x**3).sum(), x, v)[1], x, samples=2)
    (18.0, 0.0)
    """
    samples = from_one("hutchinson_trace: samples", samples)
    _, sample = _sampler("hutchinson_trace", product, inputs, generator)
    traces = [sum(float(part.sum()) for part in sample()) for _ in range(samples)]
    mean = math.fsum(traces) / samples
    return mean, _standard_error(math.fsum((t - mean) ** 2 for t in traces), samples)


def hutchinson_diagonal(
    product: Product, inputs: Any, samples: int = 10, generator: np.random.Generator | None = None
) -> tuple[Any, Any]:
    """An unbiased estimate of the diagonal of A, and its standard error: the mean of z ⊙ A·z over random signs z.

    Both have the form and shapes of `inputs`. Exact with one sample where A is diagonal; otherwise the variance of
    element i of a sample is Σ_{j≠i} A_ij². Arguments and errors are those of `hutchinson_trace`.

    Source: Bekas, Kokiopoulou and Saad, "An estimator for the diagonal of a matrix" (2007), section 2.
    """
    samples = from_one("hutchinson_diagonal: samples", samples)
    tensors, sample = _sampler("hutchinson_diagonal", product, inputs, generator)
    means = [np.zeros_like(x.data) for x in tensors]
    squares = [np.zeros_like(x.data) for x in tensors]  # of the distances from the mean, as Welford adds them
    for count in range(1, samples + 1):
        for i, part in enumerate(sample()):
            apart = part - means[i]
            means[i] = means[i] + apart / count
            squares[i] = squares[i] + apart * (part - means[i])
    errors = [_standard_error(square, samples) for square in squares]
    return tuple(_like(inputs, [Variable.Answer(array) for array in arrays]) for arrays in (means, errors))  # type: ignore[return-value]


def rademacher(generator: np.random.Generator, like: Any) -> Any:
    """An array of random signs, of the shape and type and on the device of the array `like`."""
    signs = 2 * generator.integers(0, 2, like.shape, np.int8) - 1
    return backend.to_device(np.asarray(signs, like.dtype), backend.device_of(like))


def _sampler(
    name: str, product: Product, inputs: Any, generator: np.random.Generator | None
) -> tuple[Vectors, Callable[[], list[Any]]]:
    """The inputs as a list, and a function that gives z ⊙ A·z as arrays, with new signs z at each call."""
    tensors = _tensors(name, inputs)
    function(f"{name}: product", product)
    stream = backend.given_generator(name, generator)

    def sample() -> list[Any]:
        zs = [Variable.Answer(rademacher(stream, x.data)) for x in tensors]
        answers = _fitting(name, "the product", product(_like(inputs, zs)), tensors)
        return [z.data * answer.data for z, answer in zip(zs, answers, strict=True)]

    return tensors, sample


def _standard_error(squares: Any, samples: int) -> Any:
    """Of a mean, from the sum of the squared distances from it."""
    return squares * math.nan if samples == 1 else (squares / (samples - 1) / samples) ** 0.5


def _tensors(function: str, inputs: Any) -> Vectors:
    for i, x in enumerate(_many(inputs)):
        if not isinstance(x, Variable):
            raise TypeError(f"{function}: input {i}: expected a Tensor, got {type(x).__name__}")
        if x.data.dtype.kind != "f":
            raise TypeError(f"{function}: input {i}: expected floating-point elements, got {x.data.dtype}")
    return _many(inputs)


# --- eigenvalues


def lanczos(
    product: Product,
    inputs: Any,
    k: int = 1,
    which: str = "LM",
    tol: float | None = None,
    generator: np.random.Generator | None = None,
) -> tuple[np.ndarray[Any, Any], list[Any]]:
    """The k extreme eigenvalues of A, the most extreme first, and their eigenvectors, of norm 1.

    From a random start, each new basis vector is A times the last one, made orthogonal to all before it (twice, so that
    rounding leaves nothing); A is tridiagonal in this basis, and the extreme eigenvalues of the tridiagonal matrix
    are soon those of A. A further run, orthogonal to what was found, looks for one that was missed, as the other
    vectors of a multiple eigenvalue are by a single start.

    product: v ↦ A·v, for a symmetric A; v and the answer have the form and shapes of `inputs`.
    inputs: a tensor or several: only their shapes, types and device are used.
    k: how many, from 1 to the number n of all elements. Default 1.
    which: "LM" those of largest magnitude, "LA" the largest, "SA" the smallest, as SciPy's eigsh names them.
    tol: ‖A·v - λ·v‖ is at most tol·max|λ|. Default None: the square root of the type's precision.
    generator: of the start. Default None: this thread's (`manual_seed`).

    Returns the eigenvalues as a NumPy array, and a list of vectors of the form and shapes of `inputs`. The basis is
    kept: memory for as many vectors as there are steps, usually a few times k and at most n.

    Raises ValueError for k, `which` and tol out of range, and for a product that is not finite or has other shapes,
    TypeError for another kind of generator, a product that is no function, and tensors that are not floating-point.

    Source: Golub and Van Loan, "Matrix Computations" (4th edition, 2013), algorithm 10.1.1 and section 10.3.1;
    the bound of the error is Parlett, "The Symmetric Eigenvalue Problem" (1998), section 13.2.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], dtype="float64")
    >>> values, vectors = mg.lanczos(lambda v: mg.hvp(lambda x: (x**3).sum(), x, v)[1], x)
    >>> values.round(6).tolist(), mg.absolute(vectors[0]).numpy().round(6).tolist()
    ([12.0], [0.0, 1.0])
    """
    tensors = _tensors("lanczos", inputs)
    n = sum(x.data.size for x in tensors)
    k = whole(1, n)("lanczos: k", k)
    order = ORDERS[one_of(*ORDERS)("lanczos: which", which)]
    tol = optional(NONNEGATIVE)("lanczos: tol", tol)
    function("lanczos: product", product)
    stream = backend.given_generator("lanczos", generator)
    dtype = np.result_type(*(x.data.dtype for x in tensors))
    tol = float(np.finfo(dtype).eps) ** 0.5 if tol is None else tol

    def multiply(flat: Any) -> Any:
        answer = product(_like(inputs, split(flat, tensors)))
        return join([v.data for v in _fitting("lanczos", "the product", answer, tensors)])

    def start() -> Any:
        return backend.to_device(stream.standard_normal(n).astype(dtype), tensors[0].device)

    values: np.ndarray[Any, Any] = np.zeros(0)
    vectors: list[Any] = []
    entered = True
    while entered and len(values) < n:
        new, found = _krylov(multiply, start(), vectors, max(1, k - len(values)), order, tol)
        values, vectors = np.append(values, new), vectors + found
        best = np.argsort(order(values), kind="stable")[:k]
        entered = len(best) < k or bool((best >= len(values) - len(new)).any())
        values, vectors = values[best], [vectors[i] for i in best]
    return values, [_like(inputs, split(vector, tensors)) for vector in vectors]


ORDERS: dict[str, Callable[[Any], Any]] = {"LM": lambda x: -abs(x), "LA": lambda x: -x, "SA": lambda x: x}
"""What is smallest for the eigenvalue that comes first."""


def _krylov(
    multiply: Product, start: Any, found: list[Any], k: int, order: Callable[[Any], Any], tol: float
) -> tuple[np.ndarray[Any, Any], list[Any]]:
    """At most k extreme eigenvalues, and their vectors, of A on what is orthogonal to `found`.

    They are fewer where the vectors that A makes of `start` span no more.
    """
    eps = float(np.finfo(start.dtype).eps)
    basis: list[Any] = []
    alphas: list[float] = []
    betas: list[float] = []
    q = _orthogonal(start, found)
    q = q / norm(q)
    next_look = 1
    while True:
        w = multiply(q)
        alphas.append(dot(q, w))
        if not math.isfinite(alphas[-1]):
            raise ValueError("lanczos: the product has a NaN or an infinity")
        basis.append(q)
        w = _orthogonal(w, found + basis)
        betas.append(norm(w))
        ended = betas[-1] <= 10 * eps * max(map(abs, alphas + betas)) or len(found) + len(basis) == start.size
        if ended or len(basis) >= next_look:
            thetas, S = np.linalg.eigh(np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1))
            best = np.argsort(order(thetas), kind="stable")[:k]
            scale = float(abs(thetas).max())
            if ended or (len(best) == k and (betas[-1] * abs(S[-1, best])).max() <= tol * scale):
                break
            next_look = len(basis) + 1 + len(basis) // 16  # looking at each step would cost more than the steps
        q = w / betas[-1]
    vectors = [sum(weight * q for weight, q in zip(S[:, i].tolist(), basis, strict=True)) for i in best]
    return thetas[best], [v / norm(v) for v in vectors]


def _orthogonal(w: Any, basis: list[Any]) -> Any:
    """w without its part along the basis; once more, for what rounding left of it."""
    for q in basis + basis:
        w = w - (q * w).sum() * q
    return w
