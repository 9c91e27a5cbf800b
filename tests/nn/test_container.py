"""Modules made of modules."""

import copy
import pickle

import numpy as np
import pytest

import minigrad as mg
import nn


def named(module):
    return [name for name, _ in module.named_parameters()]


def test_sequential_applies_one_after_the_other():
    model = nn.Sequential(nn.Linear(2, 3), np.tanh, nn.Linear(3, 1))
    x = mg.tensor([[1.0, 2.0]])
    np.testing.assert_array_equal(model(x).numpy(), model[2](mg.tanh(model[0](x))).numpy())
    assert len(model) == 3
    assert list(model)[1] is np.tanh
    assert model[-1] is model[2]
    assert named(model) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert nn.Sequential()(x) is x


def test_sequential_with_names():
    model = nn.Sequential({"body": nn.Linear(2, 3), "head": nn.Linear(3, 1)})
    assert named(model) == ["body.weight", "body.bias", "head.weight", "head.bias"]
    assert model.head is model[1]
    new = model.head = nn.Linear(3, 5)
    assert model[1] is new
    assert model(np.ones((1, 2), np.float32)).shape == (1, 5)
    assert named(model[1:]) == ["head.weight", "head.bias"]
    del model.head
    assert len(model) == 1


def test_sequential_can_be_changed():
    model = nn.Sequential(nn.Linear(2, 3))
    assert model.append(nn.ReLU()).append(nn.Linear(3, 4)) is model
    model[2] = nn.Linear(3, 5)
    assert model(np.ones((1, 2), np.float32)).shape == (1, 5)
    assert named(model) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert len(model[:2]) == 2
    tail = model[1:].append(nn.Tanh())
    assert [name for name, _ in tail.named_children()] == ["1", "2", "3"]


class Scaled(nn.Sequential):
    def __init__(self, *layers):
        super().__init__(*layers)
        self.scale = nn.Parameter(np.float32(2.0).reshape(1))

    def forward(self, x):
        return super().forward(x) * self.scale


def test_a_subclass_of_sequential_has_parameters_of_its_own():
    model = Scaled(nn.Linear(2, 2))
    assert named(model) == ["scale", "0.weight", "0.bias"]
    x = np.ones((1, 2), np.float32)
    np.testing.assert_allclose(model(x).numpy(), 2 * model[0](x).numpy())


def test_module_list():
    a, b, c, d = (nn.Linear(i, 1) for i in range(1, 5))
    modules = nn.ModuleList([a, b])
    assert modules.append(c) is modules
    modules.insert(0, d)
    assert list(modules) == [d, a, b, c]
    assert named(modules) == [f"{i}.{name}" for i in range(4) for name in ("weight", "bias")]
    assert modules.pop() is c
    assert modules.pop(0) is d
    modules.extend([c])
    modules += [d]
    assert list(modules) == [a, b, c, d]
    assert isinstance(modules[1:3], nn.ModuleList)
    assert list(modules[1:3]) == [b, c]
    modules[1:3] = [d]
    assert list(modules) == [a, d, d]
    modules[0] = b
    del modules[1]
    assert list(modules) == [b, d]
    assert b in modules
    assert a not in modules
    assert list(modules + nn.ModuleList([a])) == [b, d, a]
    assert len(list(modules.parameters())) == 4
    with pytest.raises(NotImplementedError, match="ModuleList has no forward"):
        modules(1)
    before = list(modules)
    with pytest.raises(TypeError, match="expected a module"):
        modules[0:1] = [a, 3]
    assert list(modules) == before


def test_module_dict():
    a, b = nn.Linear(1, 1), nn.Linear(2, 1)
    modules = nn.ModuleDict({"a": a})
    modules["b"] = b
    assert list(modules) == ["a", "b"] == list(modules.keys())
    assert list(modules.values()) == [a, b]
    assert dict(modules.items()) == {"a": a, "b": b}
    assert "a" in modules
    assert modules.pop("a") is a
    assert len(modules) == 1
    modules.update([("c", a)])
    assert named(modules) == ["b.weight", "b.bias", "c.weight", "c.bias"]
    del modules["b"]
    modules.clear()
    assert not list(modules.parameters())
    assert modules != nn.ModuleDict()
    assert len({modules, nn.ModuleDict()}) == 2


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(duplicate):
    shared = nn.Linear(2, 2)
    model = nn.Sequential(nn.ModuleList([shared, shared]), nn.ModuleDict({"x": shared, "y": nn.ReLU()}))
    again = duplicate(model)
    assert len(list(again.parameters())) == 2
    assert again[0][0] is again[0][1] is again[1]["x"]
    assert again[0][0] is not shared
    assert repr(again) == repr(model)
    assert [*again.state_dict()] == [*model.state_dict()]
    assert len(again.state_dict()) == 6


def test_repr():
    model = nn.Sequential({"list": nn.ModuleList([nn.ReLU(), nn.Dropout(0.1)]), "out": nn.Flatten()})
    assert repr(model) == (
        "Sequential(\n  (list): ModuleList(\n    (0): ReLU()\n    (1): Dropout(p=0.1)\n  )\n"
        "  (out): Flatten(start_dim=1, end_dim=-1)\n)"
    )
