"""What a worker of a cluster does by itself."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from lab.matrix import tasks


@pytest.mark.parametrize(("name", "cores"), [(0, {3}), (1, {5}), ("tcp://10.0.0.5:1", {3, 5})])
def test_numbered_worker_keeps_a_cell_to_one_core(
    name: int | str, cores: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = {3, 5}

    def use(_: int, cores: set[int]) -> None:
        used.clear()
        used.update(cores)

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(used))
    monkeypatch.setattr(os, "sched_setaffinity", use)
    monkeypatch.setattr(tasks, "_worker", lambda: SimpleNamespace(name=name))
    with tasks._on_a_core():
        assert used == cores
    assert used == {3, 5}
