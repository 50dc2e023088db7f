"""The guest's agent and workers themselves, run by this host's kernel with a pseudo-terminal as their line."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.cache import Cache
from lab.image import build
from lab.journal import Journal
from lab.machine import pattern
from lab.machine.frames import FLUSH, MAX_PAYLOAD, SYNC, encode
from lab.machine.protocol import (
    DONE,
    HALT,
    MEMORY,
    NO_HANDLE,
    PAIR,
    QUEUE,
    ROUNDS,
    SPAWN,
    SYSINFO,
    SYSINFO_FIELDS,
    TASKS,
    TIME,
    TRIPLE,
    VERDICT,
    WORD,
    WRITE_CREATE,
    WRITE_TRUNCATE,
    Op,
)
from lab.settings import Settings
from tests.unit.image.agentline import DEADLINE, MIB, Line, number, split


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("image")
    built = build(Settings(cache=place, runs=place), Cache(place), Journal()).programs
    try:
        subprocess.run([built["/sbin/worker"]], stdin=subprocess.DEVNULL, check=True)
    except OSError as error:
        pytest.skip(f"this host does not run i386 programs: {error}")
    return built


@pytest.fixture
def start(programs: dict[str, Path]) -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def start(worker: Path | None = None) -> Line:
        lines.append(Line(programs["/sbin/agent"], worker or programs["/sbin/worker"]))
        return lines[-1]

    yield start
    for line in lines:
        line.close()


@pytest.fixture
def line(start: Callable[..., Line]) -> Line:
    return start()


def test_ping_returns_the_bytes_that_were_sent(line: Line) -> None:
    everything = bytes(range(256)) + SYNC * 100
    assert line.call(Op.PING, everything) == (0, everything)
    assert line.call(Op.PING, bytes(MAX_PAYLOAD - 4)) == (0, bytes(MAX_PAYLOAD - 4))


@pytest.mark.parametrize(
    ("op", "data", "task", "status"),
    [
        (Op.PING, bytes(MAX_PAYLOAD - 3), 0, errno.EMSGSIZE),
        (0x7777, b"", 0, errno.ENOSYS),
        (Op.MEM_MAP, WORD.pack(4096), 0, errno.ENOSYS),
        (Op.SPAWN, b"\0\0\0\0\0\0\0", 0, errno.EINVAL),
        (Op.REBOOT, WORD.pack(99), 0, errno.EINVAL),
        (Op.PING, b"", 1, errno.ESRCH),
        (Op.PING, b"", 65535, errno.ESRCH),
        (Op.REAP, WORD.pack(0), 0, errno.ESRCH),
        (Op.KILL, PAIR.pack(TASKS, 9), 0, errno.ESRCH),
        (Op.READ_FILE, PAIR.pack(0, 10) + b"/does/not/exist", 0, errno.ENOENT),
        (Op.READ_FILE, PAIR.pack(0, MAX_PAYLOAD) + b"/proc/version", 0, errno.EMSGSIZE),
        (Op.READ_FILE, PAIR.pack(0, 10) + b"/" * 256, 0, errno.ENAMETOOLONG),
        (Op.SWAPON, WORD.pack(0) + b"/does/not/exist", 0, errno.ENOENT),
    ],
)
def test_request_that_can_not_be_is_refused_with_its_reason(
    line: Line, op: int, data: bytes, task: int, status: int
) -> None:
    if op == Op.SWAPON and os.geteuid() != 0:
        status = errno.EPERM
    assert line.call(op, data, task) == (-status, b"")


def test_calls_of_kvmd_where_there_is_no_such_device_say_so(line: Line) -> None:
    task = line.spawn()
    assert line.call(Op.KVMD_IOCTL, WORD.pack(0x4B00), task)[0] == -errno.ENOENT
    assert line.call(Op.KVMD_IOCTL_AT, PAIR.pack(0x4B00, 0), task) == (-errno.ENOENT, b"")
    one_round = ROUNDS.pack(1, NO_HANDLE, 0, 1, 4096, 7)
    assert line.call(Op.KVMD_ROUNDS, one_round, task) == (-errno.ENOENT, DONE.pack(0, 0, 0))
    assert line.call(Op.KVMD_ROUNDS, ROUNDS.pack(0, NO_HANDLE, 0, 1, 4096, 7), task) == (0, DONE.pack(0, 0, 0))


def test_rounds_with_more_regions_than_there_is_room_for_are_refused(line: Line) -> None:
    assert line.call(Op.KVMD_ROUNDS, ROUNDS.pack(0, 0, 0, 9, 4096, 7), line.spawn()) == (-errno.EINVAL, b"")


def test_worker_knows_its_own_operations_only(line: Line) -> None:
    task = line.spawn()
    assert line.call(Op.STATS, b"", task) == (-errno.ENOSYS, b"")
    assert line.call(Op.REBOOT, WORD.pack(HALT), task) == (-errno.ENOSYS, b"")
    assert line.call(Op.MEM_FILL, MEMORY.pack(4096, 100, 0, 0), task) == (-errno.EINVAL, b"")


def test_memory_holds_the_pattern_and_a_changed_word_is_found(line: Line) -> None:
    task = line.spawn()
    area = line.map(task, MIB)
    line.good(Op.MEM_FILL, MEMORY.pack(area, MIB, 77, 1000), task)
    assert VERDICT.unpack(line.good(Op.MEM_VERIFY, MEMORY.pack(area, MIB, 77, 1000), task)) == (0, 0, 0, 0)
    place, expected = area + 3 * pattern.PAGE_SIZE + 4 * 5, pattern.word(77, 1003, 5)
    assert line.good(Op.MEM_PEEK, WORD.pack(place), task) == WORD.pack(expected)
    line.good(Op.MEM_POKE, PAIR.pack(place, 123), task)
    verdict = VERDICT.unpack(line.good(Op.MEM_VERIFY, MEMORY.pack(area, MIB, 77, 1000), task))
    assert verdict == (1, place, expected, 123)


def test_unmapped_memory_is_gone(line: Line) -> None:
    task = line.spawn()
    area = line.map(task, MIB)
    line.good(Op.MEM_UNMAP, PAIR.pack(area, MIB), task)
    assert line.call(Op.MEM_PEEK, WORD.pack(area), task) == (-errno.ECHILD, b"")


def test_pressure_reports_pages_and_bad_words(line: Line) -> None:
    task = line.spawn()
    assert line.good(Op.MEM_PRESSURE, TRIPLE.pack(2 * MIB, 5, 3), task) == PAIR.pack(512 * 4, 0)


def test_more_memory_than_there_are_addresses_is_refused(line: Line) -> None:
    task = line.spawn()
    assert line.call(Op.MEM_MAP, WORD.pack(0xF000_0000), task) == (-errno.ENOMEM, b"")


def test_worker_that_dies_fails_all_its_open_requests_and_the_agent_goes_on(line: Line) -> None:
    task = line.spawn()
    line.good(Op.KILL, PAIR.pack(task, signal.SIGSTOP))
    before = line.send(Op.PING, b"answered", task)
    wild = line.send(Op.MEM_PEEK, WORD.pack(8), task)
    behind = line.send(Op.PING, b"never answered", task)
    continued = line.send(Op.KILL, PAIR.pack(task, signal.SIGCONT))
    replies = {reply.seq: split(reply) for reply in line.receive(4)}
    dead = (-errno.ECHILD, b"")
    assert replies == {continued: (0, b""), before: (0, b"answered"), wild: dead, behind: dead}
    assert line.call(Op.PING, b"", task) == dead
    assert line.reap(task) == signal.SIGSEGV
    assert line.call(Op.PING, b"", task) == (-errno.ESRCH, b"")
    assert line.call(Op.PING, b"on") == (0, b"on")


def test_killed_worker_fails_what_it_was_doing(line: Line) -> None:
    task = line.spawn()
    endless = line.send(Op.MEM_PRESSURE, TRIPLE.pack(MIB, 1, 0xFFFFFFFF), task)
    assert line.call(Op.REAP, WORD.pack(task)) == (-errno.EAGAIN, b"")
    assert line.call(Op.PING, b"busy task") == (0, b"busy task")
    killed = line.send(Op.KILL, PAIR.pack(task, signal.SIGKILL))
    replies = {reply.seq: split(reply) for reply in line.receive(2)}
    assert replies == {killed: (0, b""), endless: (-errno.ECHILD, b"")}
    assert line.reap(task) == signal.SIGKILL


def test_exit_gives_its_status_and_the_number_is_used_again(line: Line) -> None:
    task = line.spawn()
    line.good(Op.EXIT, WORD.pack(7), task)
    assert line.reap(task) == 7 << 8
    assert line.spawn() == task


def test_full_queue_is_refused_and_what_was_taken_is_answered_in_order(line: Line) -> None:
    task = line.spawn()
    line.good(Op.KILL, PAIR.pack(task, signal.SIGSTOP))
    taken = [line.send(Op.PING, b"%d" % each, task) for each in range(QUEUE)]
    assert line.call(Op.PING, b"one more", task) == (-errno.EBUSY, b"")
    assert line.stats()["refused"] == 1
    continued = line.send(Op.KILL, PAIR.pack(task, signal.SIGCONT))
    replies = [reply for reply in line.receive(QUEUE + 1) if reply.seq != continued]
    assert [reply.seq for reply in replies] == taken
    assert [split(reply) for reply in replies] == [(0, b"%d" % each) for each in range(QUEUE)]


def test_request_that_does_not_fit_into_the_pipe_is_refused_whole(line: Line) -> None:
    task = line.spawn()
    line.good(Op.KILL, PAIR.pack(task, signal.SIGSTOP))
    status = Path(f"/proc/{line.worker_pids[task]}/stat")
    end = time.monotonic() + DEADLINE
    while status.read_text().rpartition(")")[2].split()[0] != "T":  # the signal is sent, and takes its time
        assert time.monotonic() < end
        time.sleep(0.001)
    # the size of a pipe in a 2.3 kernel; this host's hold more than a full queue
    pipe = os.open(f"/proc/{line.worker_pids[task]}/fd/0", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
    os.close(pipe)
    half = bytes(MAX_PAYLOAD - 4)
    taken = line.send(Op.PING, half, task)
    assert line.call(Op.PING, half, task) == (-errno.EBUSY, b"")
    continued = line.send(Op.KILL, PAIR.pack(task, signal.SIGCONT))
    replies = {reply.seq: split(reply) for reply in line.receive(2)}
    assert replies == {continued: (0, b""), taken: (0, half)}
    assert line.call(Op.PING, b"next", task) == (0, b"next")


def test_eight_workers_at_once_each_keep_their_own_memory(line: Line) -> None:
    tasks = [line.spawn() for _ in range(8)]
    areas = {task: line.map(task, MIB) for task in tasks}
    for op in (Op.MEM_FILL, Op.MEM_VERIFY):
        sent = {line.send(op, MEMORY.pack(areas[task], MIB, task, 0), task): task for task in tasks}
        replies = line.receive(len(tasks))
        assert {reply.seq: reply.task for reply in replies} == sent
        assert {split(reply) for reply in replies} == {(0, bytes(16) if op == Op.MEM_VERIFY else b"")}


def test_all_workers_answering_at_once_lose_no_reply(line: Line, tmp_path: Path) -> None:
    contents = os.urandom(MAX_PAYLOAD - 4)
    (tmp_path / "file").write_bytes(contents)
    tasks = [line.spawn() for _ in range(TASKS - 1)]
    assert line.call(Op.SPAWN, SPAWN.pack(0, 0)) == (-errno.EAGAIN, b"")
    request = PAIR.pack(0, len(contents)) + bytes(tmp_path / "file")
    sent = {line.send(Op.READ_FILE, request, task): task for task in tasks * QUEUE}
    replies = line.receive(len(sent))  # half a megabyte, of which the line holds 4 KiB at a time
    assert {reply.seq: reply.task for reply in replies} == sent
    assert {split(reply) for reply in replies} == {(0, contents)}
    assert line.stats()["dropped"] == 0


def test_garbage_and_damage_on_the_line_are_counted_and_do_no_harm(line: Line) -> None:
    damaged = bytearray(encode(1, Op.PING, 0, b"damaged"))
    damaged[15] ^= 1
    line.raw(b"garbage" + damaged)
    assert line.call(Op.PING, b"good") == (0, b"good")
    stats = line.stats()
    assert (stats["dropped"], stats["skipped"]) == (1, len(b"garbage") + len(damaged))


def test_frame_without_tail_is_cleared_away_by_a_flush(line: Line) -> None:
    line.raw(encode(1, Op.PING, 0, bytes(1000))[:-1])
    line.raw(FLUSH)
    assert line.call(Op.PING, b"good") == (0, b"good")
    assert line.stats()["dropped"] == 1


def test_file_is_written_and_read_in_pieces(line: Line, tmp_path: Path) -> None:
    path = bytes(tmp_path / "new")
    flags = WRITE_CREATE | WRITE_TRUNCATE
    assert line.good(Op.WRITE_FILE, PAIR.pack(0, flags) + path + b"\0hello world") == WORD.pack(11)
    assert line.good(Op.WRITE_FILE, PAIR.pack(6, 0) + path + b"\0W") == WORD.pack(1)
    assert (tmp_path / "new").read_bytes() == b"hello World"
    assert line.good(Op.READ_FILE, PAIR.pack(4, 4) + path) == b"o Wo"
    assert line.good(Op.READ_FILE, PAIR.pack(4, 400) + path) == b"o World"


def test_large_folder_is_listed_in_several_replies(line: Line, tmp_path: Path) -> None:
    for each in range(300):
        (tmp_path / f"file-number-{each}").touch()
    names: list[str] = []
    replies, skip = 0, 0
    while replies == 0 or skip:
        status, data = line.call(Op.LIST_DIR, WORD.pack(skip) + bytes(tmp_path))
        if status == -errno.EOVERFLOW:
            pytest.skip("this file system's inode numbers do not fit into an i386 program's")
        assert status == 0
        skip = number(data[:4])
        names += data[4:].decode().split("\0")[:-1]
        replies += 1
    assert replies == 3
    assert sorted(names) == sorted([".", "..", *(item.name for item in tmp_path.iterdir())])


def test_sysinfo_and_time_are_the_hosts_kernels(line: Line) -> None:
    info = dict(zip(SYSINFO_FIELDS, SYSINFO.unpack(line.good(Op.SYSINFO)), strict=True))
    found = re.search(r"MemTotal: +(\d+) kB", Path("/proc/meminfo").read_text())
    assert found is not None
    assert abs(info["totalram"] * info["mem_unit"] - int(found[1]) * 1024) < max(info["mem_unit"], 4096)
    assert abs(TIME.unpack(line.good(Op.TIME))[0] - time.time()) < DEADLINE


def test_stats_tell_of_the_agent_itself(line: Line) -> None:
    line.spawn()
    stats = line.stats()
    assert stats["pid"] == line.process.pid
    assert (stats["frames"], stats["requests"], stats["tasks"], stats["refused"]) == (2, 2, 1, 0)
    if "not locked" not in line.said:
        assert stats["locked_kib"] > 60


def test_worker_program_that_is_missing_is_an_error_of_spawn(start: Callable[..., Line], tmp_path: Path) -> None:
    line = start(tmp_path / "nothing")
    assert line.call(Op.SPAWN, SPAWN.pack(0, 0)) == (-errno.ENOENT, b"")
    assert line.stats()["tasks"] == 0


def test_agent_without_a_line_ends_and_says_so(line: Line) -> None:
    os.close(line.fd)
    out, _ = line.process.communicate(timeout=DEADLINE)
    line.fd = os.open(os.devnull, os.O_RDWR)
    assert out.startswith(b"lab: agent: the line is gone: errno ")
    assert line.process.returncode == 2


def test_line_that_does_not_open_is_named(programs: dict[str, Path]) -> None:
    done = subprocess.run([programs["/sbin/agent"], "/does/not/exist"], stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (1, b"lab: agent: the line does not open: errno 2\n")
