"""What `help` of a package begins with: every public name, and only names that are there."""

import doctest
import re

import pytest

import minigrad
import nn
import optim
from minigrad import ops

PACKAGES = [minigrad, nn, optim, ops]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_every_public_name_is_told(package):
    told = set(re.findall(r"\w+", package.__doc__))
    elsewhere = set(ops.__all__) if package is minigrad else set()
    assert sorted({*package.__all__} - told - elsewhere) == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.__name__)
def test_its_example_runs(package):
    assert doctest.testmod(package).failed == 0
