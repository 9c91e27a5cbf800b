"""Hooks around `state_dict` and `load_state_dict`: called when, with what and in which order torch calls them."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import optim

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

KINDS = ("state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post")


def ours():
    return optim.Adam([mg.tensor([1.0, 2.0], requires_grad=True)], lr=0.5)


def theirs():
    return torch.optim.Adam([torch.tensor([1.0, 2.0], requires_grad=True)], lr=0.5)


def noting(kind, number, effect, notes):
    """A hook of a kind: it notes what it is given, and adds a setting, returns another state or does nothing."""

    def hook(optimizer, *state_dict):
        lrs = [group["lr"] for saved in state_dict for group in saved["param_groups"]]
        notes.append((kind, number, len(state_dict), lrs, optimizer.param_groups[0]["lr"]))
        if not state_dict:
            optimizer.param_groups[0]["lr"] += effect / 8  # what is seen by those after it
            return None
        (saved,) = state_dict
        saved[f"note {number}"] = number
        if effect == 1:
            saved["param_groups"][0]["lr"] += 1
        if effect == 2:
            groups = [{**group, "lr": group["lr"] * 2} for group in saved["param_groups"]]
            return {"state": saved["state"], "param_groups": groups, "other": number}
        return None

    return hook


actions = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.sampled_from(KINDS), st.booleans(), st.integers(0, 2)),
        st.tuples(st.just("remove"), st.integers(0, 5)),
        st.sampled_from([("save",), ("load",), ("load again",), ("copy",)]),
    ),
    max_size=12,
)


def told(optimizer, story):
    """All that hooks and caller see."""
    notes, handles = [], []
    saved = optimizer.state_dict()
    for number, (what, *details) in enumerate(story):
        if what == "register":
            kind, prepend, effect = details
            register = getattr(optimizer, f"register_{kind}_hook")
            handles.append(register(noting(kind, number, effect, notes), prepend=prepend))
        elif what == "remove" and handles:
            handles[details[0] % len(handles)].remove()
        elif what == "save":
            saved = optimizer.state_dict()
            notes.append(("saved", sorted(saved), [group["lr"] for group in saved["param_groups"]]))
        elif what.startswith("load"):
            given = copy.deepcopy(saved)
            assert optimizer.load_state_dict(given) is None
            notes.append(("given", sorted(given), [group["lr"] for group in given["param_groups"]]))
            saved = given if what == "load again" else saved
        elif what == "copy":
            optimizer = copy.deepcopy(optimizer)  # without the hooks
        notes.append(optimizer.param_groups[0]["lr"])
    return notes


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(story=actions)
def test_hooks_see_and_do_what_they_do_in_torch(story):
    assert told(ours(), story) == told(theirs(), story)


@pytest.mark.parametrize("name", ["Adam", "SGD", "Prodigy", "LBFGS"])
def test_hooks_stand_around_the_whole(name):
    """A hook after saving sees what the caller gets; one after loading can step."""
    p = mg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    optimizer = getattr(optim, name)([p])
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = (p**4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    optimizer.register_state_dict_post_hook(lambda _, saved: seen.append(pickle.dumps(saved)))
    saved = optimizer.state_dict()
    assert seen == [pickle.dumps(saved)]
    with optimizer.register_load_state_dict_post_hook(lambda o: o.step(closure)):
        before = p.numpy().copy()
        optimizer.load_state_dict(saved)
    assert (p.numpy() != before).any()


def test_an_error_of_a_hook_before_loading_leaves_all_as_it_was():
    optimizer = ours()
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 0.25

    def fails(optimizer, state_dict):
        raise KeyError("no")

    with optimizer.register_load_state_dict_pre_hook(fails), pytest.raises(KeyError):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.5
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_what_a_hook_returns_is_checked_as_a_state():
    optimizer = ours()
    optimizer.register_load_state_dict_pre_hook(lambda optimizer, state_dict: {"state": {}})
    with pytest.raises(ValueError, match="no param_groups"):
        optimizer.load_state_dict(optimizer.state_dict())
