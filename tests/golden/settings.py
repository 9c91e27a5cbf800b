"""The settings whose trajectories are stored, by torch.optim's class names."""

from __future__ import annotations

from typing import Any

ADAM = [
    {},
    {"lr": 0.05, "betas": (0.5, 0.7), "eps": 1e-3},
    {"lr": 0.02, "betas": (0.0, 0.99)},
    {"lr": 0.02, "betas": (0.9, 0.0), "eps": 0.1},
    {"lr": 0.01, "weight_decay": 0.1},
    {"lr": 0.01, "weight_decay": 0.1, "maximize": True},
    {"lr": 0.02, "betas": (0.8, 0.3), "amsgrad": True},
    {"lr": 0.02, "betas": (0.8, 0.3), "amsgrad": True, "weight_decay": 0.05, "maximize": True},
]

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "SGD": [
        {},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
        {"lr": 0.1, "momentum": 0.8, "dampening": 0.3},
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.05, "momentum": 0.7, "nesterov": True, "weight_decay": 0.2, "maximize": True},
        {"lr": 0.05, "momentum": 0.7, "dampening": 0.5, "weight_decay": 0.2},
    ],
    "Adam": [*ADAM, {"lr": 0.02, "weight_decay": 0.3, "decoupled_weight_decay": True, "amsgrad": True}],
    "AdamW": [*ADAM, {"lr": 0.01, "weight_decay": 0.0}],
    "Adamax": [
        {},
        {"lr": 0.05, "betas": (0.5, 0.7), "eps": 1e-3},
        {"lr": 0.05, "betas": (0.0, 0.9)},
        {"lr": 0.02, "betas": (0.9, 0.0), "eps": 0.1},
        {"lr": 0.02, "weight_decay": 0.1},
        {"lr": 0.02, "weight_decay": 0.1, "maximize": True},
    ],
    "NAdam": [
        {},
        {"lr": 0.05, "betas": (0.5, 0.7), "eps": 1e-3},
        {"lr": 0.02, "betas": (0.0, 0.99)},
        {"lr": 0.02, "momentum_decay": 0.1},
        {"lr": 0.02, "momentum_decay": 0.0},
        {"lr": 0.02, "weight_decay": 0.1},
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "RAdam": [
        {},
        {"lr": 0.05, "betas": (0.5, 0.7), "eps": 1e-3},
        {"lr": 0.02, "betas": (0.9, 0.9), "eps": 0.1},
        {"lr": 0.02, "betas": (0.0, 0.99)},
        {"lr": 0.02, "weight_decay": 0.1},
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.2},
        {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 0.01},
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "weight_decay": 0.1, "lr_decay": 0.01, "maximize": True},
    ],
    "Adadelta": [
        {},
        {"lr": 0.3, "rho": 0.5, "eps": 1e-3},
        {"rho": 0.0},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "maximize": True},
    ],
    "RMSprop": [
        {},
        {"lr": 0.02, "alpha": 0.5, "eps": 1e-3},
        {"lr": 0.02, "alpha": 0.0},
        {"momentum": 0.9},
        {"centered": True},
        {"alpha": 0.9, "centered": True, "momentum": 0.5, "eps": 1e-2},
        {"weight_decay": 0.1},
        {"alpha": 0.9, "centered": True, "momentum": 0.5, "eps": 1e-2, "weight_decay": 0.1, "maximize": True},
    ],
    "Rprop": [
        {},
        {"lr": 0.1, "etas": (0.3, 1.7)},
        {"lr": 0.1, "step_sizes": (0.05, 0.12)},
        {"lr": 0.1, "maximize": True},
    ],
    "ASGD": [
        {},
        {"lr": 0.1, "lambd": 0.1, "alpha": 0.5},
        {"lr": 0.1, "t0": 3.0},
        {"lr": 0.1, "t0": 0.0, "lambd": 0.0},
        {"lr": 0.1, "t0": 4.5, "lambd": 0.05, "weight_decay": 0.1},
        {"lr": 0.1, "t0": 2.0, "weight_decay": 0.1, "maximize": True},
    ],
    "SparseAdam": [
        {},
        {"lr": 0.05, "betas": (0.5, 0.7), "eps": 1e-3},
        {"lr": 0.02, "betas": (0.0, 0.99)},
        {"lr": 0.02, "maximize": True},
    ],
    "Adafactor": [
        {},
        {"lr": 0.5, "beta2_decay": -0.3},
        {"lr": 0.1, "beta2_decay": 0.0},
        {"lr": 0.1, "eps": (0.3, 2.0)},
        {"lr": 0.1, "eps": (1e-30, 1e-3), "d": 2.5},
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "weight_decay": 0.1, "maximize": True},
    ],
    "Muon": [
        {},
        {"lr": 0.02, "momentum": 0.5},
        {"lr": 0.02, "nesterov": False},
        {"lr": 0.02, "weight_decay": 0.0, "ns_steps": 2},
        {"lr": 0.02, "ns_coefficients": (2.0, -1.5, 0.5), "adjust_lr_fn": "original"},
        {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw", "eps": 10.0},
    ],
}
