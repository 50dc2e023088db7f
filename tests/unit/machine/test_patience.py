from __future__ import annotations

import time

import pytest

from lab.errors import AgentError
from lab.machine.protocol import Op
from tests.unit.machine.test_rpc import Peer


def test_patience_ends_a_wait_whatever_its_deadline() -> None:
    peer = Peer()
    try:
        peer.answer = lambda _frame: []
        peer.rpc.patience = 0.05
        begin = time.monotonic()
        with pytest.raises(AgentError, match=r"no reply within 0\.05 s"):
            peer.rpc.request(Op.PING, deadline=60.0)
        assert time.monotonic() - begin < 30.0
    finally:
        peer.close()
