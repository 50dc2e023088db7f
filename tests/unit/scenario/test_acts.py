"""What scenarios do again and again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.errors import AgentError
from lab.machine.deadline import Deadline
from lab.machine.rpc import RefusedError
from lab.scenario.acts import rush


def test_rush_whose_processes_do_not_get_through_ends() -> None:
    def nothing_to_read(*_: Any) -> bytes:
        raise RefusedError("refused with EAGAIN", -11, "reading")

    through = iter([True, False])
    worker = SimpleNamespace(
        submit=lambda *_: SimpleNamespace(done=next(through)), kvmd_rounds=lambda *_, **__: SimpleNamespace(done=False)
    )
    owner = SimpleNamespace(kvmd=SimpleNamespace(worker=worker), handle=1)
    agent = SimpleNamespace(rpc=SimpleNamespace(deadline=lambda _: Deadline(0.05)), request=nothing_to_read)
    with pytest.raises(AgentError, match=r"opening the gate: 1 of 2 did not get through within 0\.05 s"):
        rush(cast("Any", SimpleNamespace(agent=agent)), cast("Any", [owner, owner]), 1, 1)
