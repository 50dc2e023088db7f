"""A QEMU on the other side, by a client of the test's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from lab.errors import RemoteError
from lab.machine.host import Fit
from lab.machine.loop import loop
from lab.machine.spec import MachineSpec, Parts
from lab.remote import messages
from lab.remote.packets import STATUS, Kind, Packet
from lab.remote.qemu import RemoteQemu

FIT = Fit(MachineSpec(), "tcg", "no KVM here")
SECONDS = 10.0


class Client:
    """Starts a QEMU, and answers nothing else."""

    where = "box"
    lost = None

    def __init__(self) -> None:
        self.attached: list[int] = []
        self.sent: asyncio.Queue[Packet] = asyncio.Queue()

    def attach(self, _: object) -> int:
        self.attached.append(7)
        return 7

    def detach(self, number: int) -> None:
        self.attached.remove(number)

    def send(self, packet: Packet) -> None:
        self.sent.put_nowait(packet)

    def ask(self, request: messages.Request, *_: object) -> Any:
        if isinstance(request, messages.Start):
            return messages.Started(123, ["qemu"], ["root"], "/dev/fdset/1")
        raise RemoteError("no answer within 120 s")


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def qemu(client: Client) -> Iterator[RemoteQemu]:
    made = RemoteQemu(cast("Any", client), Parts(kernel_image=Path("k"), root=Path("r")), FIT, "")
    yield made
    with suppress(RemoteError):
        made.close()


def heard(qemu: RemoteQemu, *packets: Packet) -> tuple[bytes, int | None]:
    """What is heard of these on the console, and the status at the end."""
    said: list[bytes] = []

    async def serve() -> int | None:
        serving = asyncio.ensure_future(qemu.serve({"console": said.append}))
        await asyncio.sleep(0)
        for packet in packets:
            qemu.take(packet)
        return await serving

    status = loop().run(serve(), SECONDS)
    return b"".join(said), status


def test_all_is_let_go_of_a_qemu_whose_peer_does_not_answer(client: Client, qemu: RemoteQemu) -> None:
    with pytest.raises(RemoteError, match="no answer"):
        qemu.close()
    assert client.attached == []
    assert qemu.qmp.fileno() < 0
    qemu.close()


def test_what_it_said_before_anybody_heard_it_is_heard_first(qemu: RemoteQemu) -> None:
    loop().call(qemu.take, Packet(Kind.CONSOLE, 7, b"early "))
    ended = Packet(Kind.ENDED, 7, STATUS.pack(-9))
    assert heard(qemu, Packet(Kind.CONSOLE, 7, b"late"), Packet(Kind.WORDS, 7, b"?"), ended) == (b"early late", -9)


def test_end_of_the_connection_is_an_end_without_a_status(qemu: RemoteQemu) -> None:
    loop().call(qemu.lose)
    assert heard(qemu) == (b"", None)


def test_qmp_goes_both_ways_through_a_socket(client: Client, qemu: RemoteQemu) -> None:
    async def talk() -> tuple[bytes, Packet]:
        serving = asyncio.ensure_future(qemu.serve({}))
        await asyncio.sleep(0)
        qemu.take(Packet(Kind.QMP, 7, b"greeting"))
        qemu.qmp.sendall(b"command")
        sent = await client.sent.get()
        qemu.lose()
        await serving
        return qemu.qmp.recv(64, socket.MSG_DONTWAIT), sent

    assert loop().run(talk(), SECONDS) == (b"greeting", Packet(Kind.QMP, 7, b"command"))


def test_what_a_hearer_raises_is_raised_to_the_one_who_serves(qemu: RemoteQemu) -> None:
    """And not to the client, whose other machines have nothing to do with it."""

    def stumble(_: bytes) -> None:
        raise LookupError("nothing of the kind")

    async def serve() -> int | None:
        qemu.take(Packet(Kind.CONSOLE, 7, b"!"))
        with pytest.raises(LookupError):
            await qemu.serve({"console": stumble})
        qemu.take(Packet(Kind.CONSOLE, 7, b"nobody hears this"))
        ending = asyncio.ensure_future(qemu.serve({}))
        await asyncio.wait([ending], timeout=0.05)
        assert not ending.done()
        qemu.take(Packet(Kind.ENDED, 7, STATUS.pack(-9)))
        return await ending

    assert loop().run(serve(), SECONDS) == -9


def test_end_is_the_end_of_qmp(qemu: RemoteQemu) -> None:
    heard(qemu, Packet(Kind.ENDED, 7, STATUS.pack(0)))
    qemu.qmp.settimeout(SECONDS)
    assert qemu.qmp.recv(64) == b""


def test_threads_of_a_qemu_whose_peer_does_not_answer_are_none(qemu: RemoteQemu) -> None:
    assert qemu.threads() == []
