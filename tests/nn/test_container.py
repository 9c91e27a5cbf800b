"""Modules made of modules."""

import copy
import functools
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
    named, unnamed = nn.Sequential(nn.ReLU(), mg.tanh, np.tanh), nn.Sequential(functools.partial(mg.softmax, axis=0))
    assert repr(named) == "Sequential(\n  (0): ReLU()\n  (1): tanh\n  (2): tanh\n)"
    assert repr(unnamed).startswith("Sequential(\n  (0): functools.partial(<function softmax at ")


def layers(*sizes):
    return [nn.Linear(size, 1) for size in sizes]


def test_sequential_is_a_list():
    a, b, c, d = layers(1, 2, 3, 4)
    model = nn.Sequential(a, b)
    assert model.insert(1, c) is model
    assert list(model) == [a, c, b]
    assert model.insert(3, d).insert(-1, d).pop(-2) is d
    assert model.extend(iter([a])) is model
    assert list(model) == [a, c, b, d, a]
    assert model.pop(0) is a
    del model[-1], model[1:]
    assert list(model) == [c]
    assert list(model.state_dict()) == ["0.weight", "0.bias"]
    same = model
    same += nn.Sequential(d)
    same *= 2
    assert same is model
    assert list(model) == [c, d, c, d]
    assert list(model[:2] + nn.Sequential(a)) == [c, d, a]
    assert list(2 * model[:1]) == list(model[:1] * 2) == [c, c]
    assert d in model
    assert model.index(d) == 1
    model.clear()
    assert list(model.children()) == []


def test_changing_the_order_numbers_anew_and_a_slice_does_not():
    a, b, c = layers(1, 2, 3)
    model = nn.Sequential({"a": a, "b": b})
    assert "b" in dir(model)
    assert [name for name, _ in model[1:].named_children()] == ["b"]
    model.insert(0, c)
    assert dict(model.named_children()) == {"0": c, "1": a, "2": b}
    with pytest.raises(AttributeError, match="'Sequential' object has no attribute 'b'"):
        _ = model.b
    del model.__dict__["_layers"]
    with pytest.raises(AttributeError, match="'Sequential' object has no attribute '_layers'"):
        len(model)


def test_layers_may_be_named_as_methods_are():
    model = nn.Sequential({"forward": nn.Linear(1, 2), "pop": nn.Linear(2, 3)})
    model.register_forward_hook(lambda *_: None)
    assert model(np.ones((1, 1), np.float32)).shape == (1, 3)
    assert named(model) == ["forward.weight", "forward.bias", "pop.weight", "pop.bias"]


one, two = layers(1, 1)
REFUSED = [
    (lambda s, m, d: s[2], IndexError, "Sequential: no index 2, there are 2 modules"),
    (lambda s, m, d: s["a"], TypeError, "Sequential: an index must be an integer, got a str"),
    (lambda s, m, d: s.pop(-3), IndexError, "Sequential: no index -3, there are 2 modules"),
    (lambda s, m, d: s.__delitem__(5), IndexError, "Sequential: no index 5"),
    (lambda s, m, d: s.__setitem__(2, one), IndexError, "Sequential: no index 2"),
    (lambda s, m, d: s.__setitem__(slice(1), [one]), TypeError, "Sequential: an index must be .*, got a slice"),
    (lambda s, m, d: s.__setitem__(0, None), TypeError, "Sequential: expected a module or a function at '0', got a N"),
    (lambda s, m, d: setattr(s, "0", 3), TypeError, "Sequential: expected a module or a function at '0', got a int"),
    (lambda s, m, d: s.insert(3, one), IndexError, "Sequential: no index 3"),
    (lambda s, m, d: s.insert(0, 3), TypeError, "Sequential: expected a module or a function at 0, got a int"),
    (lambda s, m, d: s.append(3), TypeError, "Sequential: expected a module or a function at '2', got a int"),
    (lambda s, m, d: s.extend([one, 3]), TypeError, "Sequential: expected a module or a function at '3', got a int"),
    (lambda s, m, d: s.extend(one), TypeError, "Sequential: expected several modules, got a Linear"),
    (lambda s, m, d: s + [one], TypeError, r"Sequential: \+ takes a Sequential, got a list"),  # noqa: RUF005
    (lambda s, m, d: s.__iadd__([one]), TypeError, r"Sequential: \+= takes a Sequential, got a list"),
    (lambda s, m, d: s * 1.5, TypeError, "Sequential: can be multiplied by an integer, got a float"),
    (lambda s, m, d: 0 * s, ValueError, "Sequential: can be multiplied by a positive integer, got 0"),
    (lambda s, m, d: s.__imul__(-1), ValueError, "Sequential: can be multiplied by a positive integer, got -1"),
    (lambda s, m, d: nn.Sequential({"a.b": one}), ValueError, "Sequential: a name must be without dots, .* got 'a.b'"),
    (lambda s, m, d: nn.Sequential({1: one}), TypeError, "Sequential: expected a string as key, got a int"),
    (lambda s, m, d: m[2], IndexError, "ModuleList: no index 2, there are 2 modules"),
    (lambda s, m, d: m["a"], TypeError, "ModuleList: an index must be an integer, got a str"),
    (lambda s, m, d: m.__setitem__(2, one), IndexError, "ModuleList: no index 2"),
    (lambda s, m, d: m.__delitem__(-3), IndexError, "ModuleList: no index -3"),
    (lambda s, m, d: m.extend([one, None]), TypeError, "ModuleList: expected a module at 3, got a NoneType"),
    (lambda s, m, d: m.__setitem__(slice(1), 3), TypeError, "ModuleList: expected several modules, got a int"),
    (lambda s, m, d: m + 3, TypeError, "ModuleList: expected several modules, got a int"),
    (lambda s, m, d: nn.ModuleList(one), TypeError, "ModuleList: expected several modules, got a Linear"),
    (lambda s, m, d: m.insert(0, np.tanh), TypeError, "ModuleList: expected a module at 0, got a ufunc"),
    (lambda s, m, d: setattr(s, "training", one), ValueError, "no layer can be called 'training', the name of an"),
    (lambda s, m, d: setattr(s, "_layers", one), ValueError, "Sequential: no layer can be called '_layers'"),
    (lambda s, m, d: nn.Sequential({"training": one}), ValueError, "no layer can be called 'training'"),
    (lambda s, m, d: d.update(3), TypeError, "ModuleDict.update: expected a dictionary or pairs: 'int' object is not"),
    (lambda s, m, d: d.update([(1, 2, 3)]), ValueError, "ModuleDict.update: expected a dictionary or pairs: .*h 3"),
    (lambda s, m, d: d.update({"c": one, "d": 3}), TypeError, "ModuleDict: expected a module at 'd', got a int"),
    (lambda s, m, d: d.__setitem__("", one), ValueError, "ModuleDict: a name must be without dots, and not empty"),
    (lambda s, m, d: d.__setitem__("a.b", one), ValueError, "ModuleDict: a name must be without dots, .* got 'a.b'"),
    (lambda s, m, d: d.__setitem__(3, one), TypeError, "ModuleDict: expected a string as key, got a int"),
    (lambda s, m, d: d["c"], KeyError, "'c'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "error", "message"), REFUSED)
def test_what_is_refused_changes_nothing(change, error, message):
    containers = nn.Sequential(one, two), nn.ModuleList([one, two]), nn.ModuleDict({"a": one, "b": two})
    with pytest.raises(error, match=message):
        change(*containers)
    assert [dict(container.named_children()) for container in containers] == [
        {"0": one, "1": two},
        {"0": one, "1": two},
        {"a": one, "b": two},
    ]
