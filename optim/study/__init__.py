"""Seeing what an optimizer does: `optim.study.problems` has functions to try one on."""

from optim.study import problems

__all__ = ["problems"]
