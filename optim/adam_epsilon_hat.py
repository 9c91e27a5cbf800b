"""Adam with ε̂: the other published placement of ε."""

from __future__ import annotations

from optim.adam import Adam
from optim.formula import formula, maximum, sqrt


@formula
def adam_epsilon_hat(
    p, g, m, v, v_max, *, lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, decoupled_weight_decay, t
):
    if maximize:
        g = -g
    if weight_decay and decoupled_weight_decay:
        p = (1 - lr * weight_decay) * p
    elif weight_decay:
        g = g + weight_decay * p
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    alpha = lr * sqrt(1 - beta2**t) / (1 - beta1**t)
    if amsgrad:
        v_max = maximum(v_max, v)
        p = p - alpha * m / (sqrt(v_max) + eps)
    else:
        p = p - alpha * m / (sqrt(v) + eps)
    return p, m, v, v_max


class AdamEpsilonHat(Adam):
    """Adam with ε̂: p ← p - αₜ·m/(√v + ε̂), where αₜ = lr·√(1 - β2ᵗ)/(1 - β1ᵗ).

    Both corrections stand in the step size, and ε̂ is added to the uncorrected √v: it weighs 1/√(1 - β2ᵗ) times as much
    as the ε of Adam at first, and the same in the end. This is what TensorFlow and Keras compute; torch, optax and the
    paper's Algorithm 1 compute Adam. With eps = 0 both are one.

    Settings:
        lr: step size, ≥ 0. Default 1e-3.
        betas: (β1, β2), each in [0, 1). Default (0.9, 0.999).
        eps: ε̂ ≥ 0. Default 1e-8; Keras has 1e-7.
        weight_decay: λ ≥ 0, added to the gradient as λp (L2). Default 0.
        amsgrad: never let the denominator shrink. Default False.
        maximize: climb instead of descend. Default False.
        decoupled_weight_decay: multiply p by 1 - lr·λ instead. Default False.

    State, of each parameter; arrays of its shape and dtype:
        step: number of updates.
        exp_avg, exp_avg_sq: m and v.
        max_exp_avg_sq: the largest v so far; only with amsgrad.

    Raises TypeError for settings of a wrong type, ValueError for those out of range.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), the last lines of section 2. Not in
    torch.

    >>> import minigrad as mg, optim
    >>> p = mg.tensor([1.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = optim.AdamEpsilonHat([p], lr=0.1)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.numpy().round(6).tolist()
    [0.800412, -1.800166]
    """

    formula = adam_epsilon_hat
