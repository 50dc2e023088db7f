"""kvmd as a module, loaded and unloaded by the guest's own loader, in a kernel that was built without it."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import msgspec
import pytest

from lab import build
from lab.machine import protocol
from lab.machine.agent import MEMORY_SECONDS, Worker
from lab.machine.machine import Machine
from lab.machine.protocol import Op
from lab.machine.rpc import RefusedError
from lab.machine.spec import MachineSpec
from lab.resources import folder
from lab.scenario.kvmd import DEDICATED, Kvmd
from lab.scenario.workbench import Workbench

MIB = 1 << 20
FRAGMENT = folder("kernel-patches") / "config" / "module.config"

pytestmark = pytest.mark.kernels(
    ">=2.3.99-pre3,<2.3.99-pre4", reason="the symbols that kvmd needs are told to modules there only"
)


@pytest.fixture
def kernel(workbench: Workbench, machine_spec: MachineSpec) -> build.Kernel:
    """The kernel without kvmd, and kvmd's object beside it."""
    plan = workbench.plan("smp" if machine_spec.cpus > 1 else "up")
    plan = msgspec.structs.replace(plan, kvmd=False, fragments=(*plan.fragments, FRAGMENT))
    return workbench.kernel_of(plan)


@pytest.fixture
def machine(workbench: Workbench, machine_spec: MachineSpec, kernel: build.Kernel) -> Iterator[Machine]:
    """A machine with that kernel, swap on."""
    setup = workbench.setup(machine_spec)
    setup["kernel_image"], setup["system_map"] = kernel.bzimage, kernel.system_map
    with Machine.restored(**setup) as machine:
        machine.swapon()
        yield machine
        machine.check()


@pytest.fixture
def module(kernel: build.Kernel) -> bytes:
    """The object file, as the loader gets it."""
    return (kernel.bzimage.parent / "kvmd.o").read_bytes()


@pytest.fixture
def loader(machine: Machine, module: bytes) -> Worker:
    """The process that loads and unloads; it has the object file."""
    worker = machine.agent.spawn()
    worker.module_send(module)
    return worker


def _threads_left(worker: Worker) -> list[str]:
    """What is there of kvmd's threads, as soon as process 1 has taken note of the last one's end."""
    end = worker.rpc.deadline(10.0)
    while (threads := Kvmd(worker).threads()) and not end.passed():
        pass
    return threads


def _unload(machine: Machine, loader: Worker, user: Kvmd) -> None:
    """End the process that uses the device, then unload the module; none of its threads may be left."""
    user.worker.exit()
    machine.agent.reap(user.worker.task)
    loader.module_unload("kvmd")
    assert _threads_left(loader) == []


def test_module_works_and_leaves_nothing(machine: Machine, loader: Worker, seed: int) -> None:
    """The module is loaded, its threads serve a region that is swapped, and unloading leaves no thread and no file.

    In 2000 the loader was a program that did a linker's work: the kernel only told its symbols and took the
    result. And a kernel thread that is a module's runs code that goes away with it, so each must have ended before.
    """
    loader.module_load("kvmd")
    kvmd = Kvmd(machine.agent.spawn())
    assert len(kvmd.threads()) == 2 * machine.spec.cpus + 1
    with kvmd.open() as vmd, kvmd.open(DEDICATED) as own:
        for owner in (vmd, own):
            owner.alloc(machine.memory * 3 // 4).fill(seed)
    with kvmd.open() as vmd:
        region = vmd.alloc(machine.memory)
        region.fill(seed)
        assert region.verify(seed).bad_words == 0
    _unload(machine, loader, kvmd)
    assert "kvmd" not in machine.agent.list_dir("/proc")


def test_unloading_while_attached_is_refused(machine: Machine, loader: Worker, seed: int) -> None:
    """As long as a driver is attached the module stays, and its data; when the driver is killed, it can go.

    The RFC raised the use count before it knew whether it would succeed, and lowered it where it was not raised.
    """
    loader.module_load("kvmd")
    driver = machine.agent.spawn()
    region = Kvmd(driver).open().alloc(MIB)
    region.fill(seed)
    with pytest.raises(RefusedError) as refusal:
        loader.module_unload("kvmd")
    assert refusal.value.status == -errno.EBUSY
    assert region.verify(seed).bad_words == 0
    machine.agent.kill(driver.task)
    machine.agent.reap(driver.task)
    loader.module_unload("kvmd")
    assert _threads_left(loader) == []


def test_module_comes_and_goes_under_load(machine: Machine, loader: Worker, seed: int) -> None:
    """Five times loaded, used and unloaded while another process swaps: each time all of it comes and all of it goes.

    What an unload leaves behind, the next load stumbles over: a name in /proc, a device, a thread, memory. The pool's
    limits are given as a module's parameters here.
    """
    presser = machine.agent.spawn()
    for turn in range(5):
        size = machine.memory
        pressing = presser.submit(Op.MEM_PRESSURE, protocol.TRIPLE.pack(size, seed + turn, 1))
        loader.module_load("kvmd", f"kvmd_pool_min={turn + 1} kvmd_pool_max={turn + 2}")
        kvmd = Kvmd(machine.agent.spawn())
        assert len(kvmd.threads()) == turn + 2
        with kvmd.open() as vmd:
            region = vmd.alloc(MIB)
            region.fill(seed)
            assert region.verify(seed).bad_words == 0
        _unload(machine, loader, kvmd)
        pressing.result(MEMORY_SECONDS)


def test_object_with_an_unknown_name_is_refused(loader: Worker, module: bytes) -> None:
    """An object that needs what this kernel does not have is refused, and the kernel forgets that it was asked."""
    broken = module.replace(b"handle_mm_fault\0", b"handle_mm_fancy\0")
    loader.module_send(broken)
    with pytest.raises(RefusedError) as refusal:
        loader.module_load("kvmd")
    assert refusal.value.status == -errno.ENOENT
    loader.module_send(module)
    loader.module_load("kvmd")
    loader.module_unload("kvmd")
