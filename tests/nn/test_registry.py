"""Whatever is public is tested."""

import doctest
import inspect
import sys

import pytest

import nn
import nn.functional as F
from nn.module import Module
from tests.nn import test_properties, test_strict
from tests.nn.module_table import CONTAINERS, FUNCTIONS, TABLE


def names_tested(test):
    (mark,) = [mark for mark in test.pytestmark if mark.name == "parametrize" and mark.args[0] == "name"]
    return set(mark.args[1])


def public_modules():
    found = {
        name for name in nn.__all__ if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), Module)
    }
    return found - {"Module"} - CONTAINERS


def test_every_layer_and_loss_has_cases():
    assert public_modules() == set(TABLE), "layers and losses beside those in module_table.py"
    assert all(TABLE.values())


def test_every_layer_and_loss_has_a_property_test():
    assert names_tested(test_properties.test_derivatives_to_second_order) == public_modules()
    assert names_tested(test_properties.test_types_and_layouts) == public_modules()
    assert names_tested(test_strict.test_on_strict_arrays) == public_modules()


def test_every_function_is_that_of_a_module():
    assert set(F.__all__) == set(FUNCTIONS)
    assert set(FUNCTIONS.values()) <= public_modules()
    assert set(nn.init.__all__) <= set(vars(nn.init))


def test_whatever_is_public_is_documented():
    for module, names in ((nn, nn.__all__), (F, F.__all__), (nn.init, nn.init.__all__)):
        for name in names:
            assert getattr(module, name).__doc__, name


@pytest.mark.parametrize("module", sorted(name for name in sys.modules if name.startswith("nn.")))
def test_doctests(module):
    failed, _ = doctest.testmod(sys.modules[module])
    assert failed == 0
