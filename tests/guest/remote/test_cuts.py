"""However a connection, a peer or the lab here ends: no QEMU is left on the other side, and no file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from lab.errors import HostError, InfraError, MachineError
from lab.journal import Journal
from lab.machine.host import Host
from lab.machine.machine import Machine, Setup
from lab.machine.protocol import Op
from lab.remote.backend import RemoteBackend
from lab.remote.errors import ConnectionLostError
from lab.remote.messages import Hello
from lab.settings import Settings
from tests.guest.remote.conftest import SILENCE
from tests.guest.remote.relay import Relay, SlowRelay
from tests.guest.remote.sshd import SECONDS, Sshd, kill

NEVER = 30.0

PROGRAM = """
    import sys
    from pathlib import Path
    from lab.journal import Journal
    from lab.machine.machine import Machine
    from lab.machine.spec import MachineSpec
    from lab.remote.backend import RemoteBackend
    from lab.settings import Settings
    kernel, disk, cache = map(Path, sys.argv[1:4])
    there = RemoteBackend(Settings(cache=cache, runs=cache, host=sys.argv[4]), Journal())
    spec = MachineSpec(swap_mib=4, append="toy=mute:2")
    with Machine.boot(kernel_image=kernel, root=disk, spec=spec, host=there.host()) as machine:
        print(machine.pid, flush=True)
        machine.agent.ping(deadline=60)
"""


@pytest.fixture
def host(own: RemoteBackend) -> Host:
    return own.host()


def test_cut_connection_is_told_from_the_waiting_request(setup: Callable[..., Setup], client: Sshd) -> None:
    with Machine.boot(**setup("mute:2")) as machine:
        pending = machine.agent.submit(Op.PING)
        kill(client.connections())
        with pytest.raises(ConnectionLostError, match=r"was cut|is lost") as caught:
            pending.result(NEVER)
    assert isinstance(caught.value, InfraError)


def test_cut_connection_is_told_by_every_later_call(setup: Callable[..., Setup], client: Sshd) -> None:
    with Machine.restored(**setup()) as machine:
        kill(client.connections())
        for call in (lambda: machine.qmp("query-status"), machine.agent.ping, machine.restore):
            with pytest.raises(ConnectionLostError):
                call()


def test_wire_that_brings_nothing_any_more_is_noticed_on_both_sides(
    setup: Callable[..., Setup], client: Sshd, settings: Settings
) -> None:
    with Relay(client.port) as relay:
        client.know(client.host_key, relay.port)
        through = msgspec.structs.replace(settings, host=client.address.replace(str(client.port), str(relay.port)))
        there = RemoteBackend(through, Journal(), SILENCE)
        how = setup("mute:2")
        how["host"] = there.host()
        with Machine.boot(**how) as machine:
            pending = machine.agent.submit(Op.PING)
            relay.freeze()
            with pytest.raises(ConnectionLostError, match=f"has said nothing for {SILENCE:g} s"):
                pending.result(NEVER)
            assert client.settled() == []
        there.close()


def test_large_file_on_a_slow_line_is_not_taken_for_silence(client: Sshd, settings: Settings, tmp_path: Path) -> None:
    """Sending it takes longer than either side waits for a word; the words go beside it."""
    large = tmp_path / "large"
    large.write_bytes(os.urandom(10 << 20))
    with SlowRelay(client.port, 1 << 20) as relay:
        client.know(client.host_key, relay.port)
        through = msgspec.structs.replace(settings, host=client.address.replace(str(client.port), str(relay.port)))
        with closing(RemoteBackend(through, Journal(), 4.0)) as there:
            peer = there.client.pid
            place = there.place(large)
            assert there.client.lost is None
            assert there.client.ask(Hello("qemu-system-i386", 4.0), int) == peer
            assert place.stat().st_size == large.stat().st_size
        assert relay.connections == 2
    assert client.settled() == []
    shutil.rmtree(place.parent)


def test_killed_peer_takes_its_qemu_with_it(setup: Callable[..., Setup], own: RemoteBackend, client: Sshd) -> None:
    with Machine.boot(**setup("mute:2")) as machine:
        qemu = os.pidfd_open(machine.pid)
        pending = machine.agent.submit(Op.PING)
        os.kill(own.client.pid, signal.SIGKILL)
        with pytest.raises(ConnectionLostError):
            pending.result(NEVER)
        assert client.settled() == []
        os.close(qemu)


@pytest.mark.parametrize("watchdog_too", [False, True], ids=["alone", "watchdog_dead"])
def test_stopped_peer_leaves_no_qemu(
    setup: Callable[..., Setup], own: RemoteBackend, client: Sshd, *, watchdog_too: bool
) -> None:
    with Machine.boot(**setup("mute:2")) as machine:
        pending = machine.agent.submit(Op.PING)
        os.kill(own.client.pid, signal.SIGSTOP)
        if watchdog_too:
            os.kill(watchdog(own.client.pid), signal.SIGKILL)
        with pytest.raises(ConnectionLostError):
            pending.result(NEVER)
        assert client.settled(10.0) == []


def watchdog(peer: int) -> int:
    """The number of a peer's parent."""
    return int(Path(f"/proc/{peer}/stat").read_text().rpartition(")")[2].split()[1])


def test_killed_qemu_is_told_as_what_it_is(setup: Callable[..., Setup], client: Sshd) -> None:
    with Machine.boot(**setup("mute:2")) as machine:
        pending = machine.agent.submit(Op.PING)
        os.kill(machine.pid, signal.SIGKILL)
        with pytest.raises(MachineError, match="QEMU was killed by SIGKILL") as caught:
            pending.result(NEVER)
    assert f"on {client.user.name}@127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_lab_that_is_signalled_here_leaves_nothing_there(
    toy_kernel: Path, disk: Path, tmp_path: Path, client: Sshd, number: signal.Signals
) -> None:
    before = client.user.files()
    words = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(toy_kernel), str(disk), str(tmp_path / "cache")]
    with subprocess.Popen([*words, client.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        try:
            pid = lab.stdout.readline()
            assert pid, lab.communicate()
            assert Path(f"/proc/{int(pid)}").exists()
            lab.send_signal(number)
            lab.wait(SECONDS)
        finally:
            lab.kill()
    assert (client.settled(), client.user.files()) == ([], before)


def test_no_port_is_opened_on_either_side(setup: Callable[..., Setup]) -> None:
    before = listening()
    with Machine.restored(**setup()) as machine:
        machine.agent.ping()
        assert listening() - before == set()


def listening() -> set[str]:
    """What somebody listens on: TCP ports, and UNIX sockets (/proc/net of Linux: state 0A; flag 10000)."""
    found = set()
    for name, column, mark in (("tcp", 3, "0A"), ("tcp6", 3, "0A"), ("unix", 3, "00010000")):
        lines = [line.split() for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
        found |= {f"{name} {line[1] if name != 'unix' else line[-1]}" for line in lines if line[column] == mark}
    return found


@contextmanager
def small_cache(server: Sshd) -> Iterator[Path]:
    """Let the other side's cache be on a file system of 3 MiB, with the lab in it."""
    cache = server.user.cache
    aside = cache.with_name("aside")
    if not server.user.fresh:
        pytest.skip("only root can mount a small file system")
    cache.rename(aside)
    cache.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(cache)], check=False)
    try:
        if mounted.returncode:
            pytest.skip("this root must not mount anything")
        for name in ("labs", "venvs"):
            (cache / name).symlink_to(aside / name)
        server.user.own(cache)
        yield cache
    finally:
        if not mounted.returncode:
            subprocess.run(["umount", str(cache)], check=True)
        cache.rmdir()
        aside.rename(cache)


def test_full_disk_there_is_a_host_error(
    setup: Callable[..., Setup], client: Sshd, settings: Settings, tmp_path: Path
) -> None:
    with small_cache(client) as cache, closing(RemoteBackend(settings, Journal())) as there:
        how = setup()
        how["host"] = there.host()
        large = setup()
        large["host"], large["root"] = how["host"], tmp_path / "large.img"
        large["root"].write_bytes(os.urandom(4 << 20))
        with pytest.raises(HostError, match="could not be written") as caught:
            Machine.boot(**large)
        assert any("tmpfs" in line for line in caught.value.seen)
        with Machine.boot(**how):
            pass
        with pytest.raises(OSError, match="No space left"):
            (cache / "filler").write_bytes(bytes(4 << 20))
        with pytest.raises(HostError, match="the disk is full"):
            Machine.boot(**how)
        there.close()
        assert client.settled() == []
        assert [path for name in ("incoming", "tmp") for path in (cache / name).iterdir()] == []
