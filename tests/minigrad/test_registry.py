"""Whatever is public is tested."""

import doctest
import importlib
import pkgutil

import pytest

import minigrad as mg
from minigrad import ops
from tests.minigrad.operation_table import CONSTANT, SMOOTH


def test_every_operation_has_a_property_test():
    tested = SMOOTH.keys() | CONSTANT.keys()
    assert set(ops.__all__) - tested == set(), "public operations without an entry in operation_table.py"
    assert tested - set(ops.__all__) == set(), "entries in operation_table.py for what is not public"


def test_an_operation_is_constant_where_it_has_no_rule():
    for name in ops.__all__:
        operation = getattr(getattr(ops, name), "operation", None)
        if operation is not None:
            assert (name in SMOOTH) == any(operation.rules), name


def test_every_operation_is_public():
    for name in ops.__all__:
        assert getattr(mg, name) is getattr(ops, name)
        assert name in mg.__all__
        assert getattr(ops, name).__doc__, f"{name} has no docstring"


def test_exports_are_explicit():
    assert len(set(mg.__all__)) == len(mg.__all__)
    assert not {"np", "math", "annotations", "Variable"} & set(vars(mg))


@pytest.mark.parametrize("name", [module.name for module in pkgutil.walk_packages(mg.__path__, "minigrad.")])
def test_doctests(name):
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
