"""State for torch's optimizers. The other way, `load_state_dict` takes the state of torch's as it is."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from optim.optimizer import Optimizer

_TENSORS = {"step", "mu_product", "eta", "mu"}  # numbers that torch keeps in tensors,
_PLAIN = {"SparseAdam", "LBFGS"}  # but for these


def to_torch_state(optimizer: Optimizer) -> dict[str, Any]:
    """A copy of the state that torch's optimizer of the same name loads: `load_state_dict(to_torch_state(ours))`.

    Arrays become tensors on the CPU, which torch moves to its parameters. Numbers that torch keeps in tensors take
    torch's default dtype: exact to 2⁻²⁴ unless that is float64. Settings that torch alone has (`foreach`, `fused`,
    ...) are as they were loaded from there, or torch's defaults.

    Raises RuntimeError where torch is not installed, ValueError for an algorithm that torch does not have.
    """
    name = type(optimizer).__name__
    try:
        import torch
    except ImportError as error:
        raise RuntimeError("to_torch_state: torch is not installed, which makes the tensors of the state") from error
    theirs = getattr(torch.optim, name, None)
    if theirs is None or name == "Optimizer":
        raise ValueError(f"to_torch_state: torch.optim has no {name}")
    parameters = inspect.signature(theirs.__init__).parameters
    defaults = {k: p.default for k, p in parameters.items() if k not in ("self", "params")}

    def converted(key: str, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value)
        if isinstance(value, list):
            return [converted(key, v) for v in value]
        return torch.tensor(float(value)) if key in _TENSORS and name not in _PLAIN else value

    saved = optimizer.state_dict()
    return {
        "state": {i: {k: converted(k, v) for k, v in entry.items()} for i, entry in saved["state"].items()},
        "param_groups": [defaults | group for group in saved["param_groups"]],
    }
