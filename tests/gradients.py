"""First and second gradients, by an ordinary backward and by a recorded one."""

import numpy as np

import minigrad as mg


def gradients(outs, xs, **options):
    """Those of the sum of all elements of the outputs, None where there is none."""
    outs = [out for out in outs if out is not None and out.requires_grad]
    seeds = [np.ones_like(out.numpy()) for out in outs]
    return mg.grad(outs, xs, seeds, allow_unused=True, **options) if outs else []


def check_fit(outs, xs):
    """All of them have the shape, the type and the place of their tensors."""
    recorded = gradients(outs, xs, create_graph=True)
    again = [gradients(recorded, xs, create_graph=way, retain_graph=True) for way in (True, False)]
    for found in (recorded, *again, gradients(outs, xs)):
        for x, g in zip(xs, found, strict=bool(found)):
            assert g is None or (g.shape, g.dtype, g.device) == (x.shape, x.dtype, x.device)
