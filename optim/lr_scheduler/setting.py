"""SettingScheduler: any schedule on any setting of the groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optim.lr_scheduler.base import LRScheduler
from optim.lr_scheduler.schedule import Schedule
from optim.optimizer import Optimizer


class SettingScheduler(LRScheduler):
    """group[setting] = schedule.at(t, base): any schedule, on weight decay, momentum, betas, lr or another setting.

    setting: the setting's name; for one number of a tuple, its name and place: ("betas", 0).
    schedule: what it follows; base is what the group had at first, which stays in it as "initial_" and the name.

    The setting is set anew at every step: what was edited from outside is dropped. base_lrs and get_last_lr are the
    setting's values. The schedule is saved by its attributes. Not in torch. See LRScheduler for the rest.

    Raises TypeError for what is no schedule, ValueError for a setting, or a place in one, that a group doesn't have.

    >>> import minigrad as mg, optim
    >>> from optim.lr_scheduler import Linear, SettingScheduler
    >>> optimizer = optim.AdamW([mg.tensor(1.0, requires_grad=True)], weight_decay=0.1)
    >>> scheduler = SettingScheduler(optimizer, "weight_decay", Linear(1.0, 0.0, total_iters=4))
    >>> for _ in range(3):
    ...     optimizer.steps_taken += 1  # in place of a step
    ...     scheduler.step()
    >>> optimizer.param_groups[0]["weight_decay"]
    0.025
    """

    def __init__(
        self, optimizer: Optimizer, setting: str | tuple[str, int], schedule: Schedule, last_epoch: int = -1
    ) -> None:
        if not isinstance(schedule, Schedule):
            raise TypeError(f"SettingScheduler: schedule must be a Schedule, got a {type(schedule).__name__}")
        match setting:
            case str():
                self._setting, self._place = setting, None
            case (str(), int()):
                self._setting, self._place = setting
            case _:
                raise TypeError(f"SettingScheduler: setting must be a name, or a name and a place, got {setting!r}")
        self.schedule = schedule
        super().__init__(optimizer, last_epoch)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As LRScheduler.load_state_dict; ValueError too for the state of another setting or schedule."""
        saved = (state_dict.get("_setting"), state_dict.get("_place")) if isinstance(state_dict, Mapping) else None
        if saved and None not in saved[:1] and saved != (self._setting, self._place):
            raise ValueError(f"SettingScheduler.load_state_dict: a state of {saved[0]!r} for {self._setting!r}")
        super().load_state_dict(state_dict)

    def get_lr(self) -> list[float]:
        return [self.schedule.at(self.last_epoch, base) for base in self.base_lrs]

    def _get(self, group: dict[str, Any], setting: str) -> float:
        if self._place is None or setting not in group:
            return super()._get(group, setting)
        value = group[setting]
        if not isinstance(value, tuple | list) or not -len(value) <= self._place < len(value):
            raise ValueError(f"SettingScheduler: {setting!r} is {value}, which has no place {self._place}")
        return super()._get({setting: value[self._place]}, setting)

    def _set(self, group: dict[str, Any], value: float) -> None:
        if self._place is None:
            group[self._setting] = value
        else:
            values = list(group[self._setting])
            values[self._place] = value
            group[self._setting] = tuple(values)
