"""When memory is counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.machine.deadline import Deadline
from lab.scenario.room import RCU_SECONDS, settle


class Agent:
    """Each look at the clock is a tenth of a second later."""

    rpc = SimpleNamespace(deadline=Deadline)

    def __init__(self) -> None:
        self.ticks = 0
        self.written: list[tuple[str, bytes]] = []

    def time(self) -> Any:
        self.ticks += 10
        return SimpleNamespace(ticks=self.ticks)

    def write_file(self, path: str, data: bytes) -> None:
        assert self.ticks == 0
        self.written.append((path, data))


@pytest.mark.parametrize("today", [True, False])
def test_todays_processors_are_made_to_let_go_and_given_time(today: bool) -> None:
    agent = Agent()
    settle(cast("Any", SimpleNamespace(agent=agent, spec=SimpleNamespace(today=today))))
    assert agent.written == ([("/proc/sys/vm/drop_caches", b"1\n")] if today else [])
    assert agent.ticks == (RCU_SECONDS * 100 + 10 if today else 0)
