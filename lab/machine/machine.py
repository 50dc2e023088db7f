"""The machine that scenarios use: booted or restored, stopped, looked into, put back to its beginning again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NotRequired, Required, Self, TypedDict, Unpack

from lab.cache import Cache
from lab.errors import AgentError, BootError, LabError, MachineError, SubjectError
from lab.journal import Journal
from lab.machine import blocks, snapshots
from lab.machine.agent import Agent
from lab.machine.blocks import BlockStats
from lab.machine.console import Console
from lab.machine.host import Host, LocalHost
from lab.machine.qemu import Qemu
from lab.machine.qmp import COMMAND_SECONDS
from lab.machine.session import GuestReset, Session
from lab.machine.spec import MachineSpec, MachineState, Parts, demand
from lab.machine.symbols import Place, Symbols
from lab.settings import Settings

READY = r"lab: agent ready"
BOOT_SECONDS = 30.0
RESTORE_SECONDS = 10.0
_LIVE = (MachineState.RUNNING, MachineState.STOPPED)
_DISTURBING = ("block", "chardev-", "device_", "object-", "qom-set")  # what a snapshot does not put back
_EIP = re.compile(r"EIP=([0-9a-f]{8})")


class Setup(TypedDict):
    """What `boot` and `restored` take; only the kernel and the root image are needed.

    The images (raw) are never written to. Without `swap`, `spec.swap_mib` makes a blank second disk. `system_map`
    decodes faults. `log` gets the console's bytes. `deadline`: the guest's own seconds for a cold boot. `host`: where
    QEMU runs, if not here.
    """

    kernel_image: Required[Path]
    root: Required[Path]
    system_map: NotRequired[Path | None]
    swap: NotRequired[Path | None]
    spec: NotRequired[MachineSpec]
    settings: NotRequired[Settings]
    cache: NotRequired[Cache]
    journal: NotRequired[Journal]
    log: NotRequired[Path | None]
    deadline: NotRequired[float]
    host: NotRequired[Host | None]


class Machine:
    """A running machine; use it in `with`. Made by `boot` or `restored`.

    A fault of the guest (ConsoleFault, a GuestFault) and the end of QEMU are raised from whichever call waits: a
    request to the agent, `console.wait_for`, `check`, and a QMP command that gets no answer any more. After a fault,
    QMP commands that QEMU still answers work, for looking into the dead guest. A call that the machine's state does
    not allow is a MachineError that names both states. `restore` revives a machine that came from a snapshot.

    `spec` is what was asked for with the clock that holds here, `accel` the accelerator, `reason` why both.
    """

    def __init__(self, **setup: Unpack[Setup]) -> None:
        self.parts = Parts(
            kernel_image=setup["kernel_image"].absolute(),
            root=setup["root"].absolute(),
            system_map=setup.get("system_map"),
            swap=swap.absolute() if (swap := setup.get("swap")) is not None else None,
        )
        self.settings = setup.get("settings") or Settings.from_environment()
        self._host: Host = setup.get("host") or LocalHost(
            self.settings, setup.get("cache") or Cache(self.settings.cache)
        )
        self._fit = self._host.fit(setup.get("spec") or MachineSpec())
        self.spec, self.accel, self.reason = self._fit.spec, self._fit.accel, self._fit.reason
        self._journal = setup.get("journal") or Journal()
        self._log = setup.get("log")
        self._deadline = setup.get("deadline", BOOT_SECONDS)
        self._symbols = Symbols.load(self.parts.system_map)
        self._state = MachineState.STARTING
        self._session: Session | None = None
        self._entry = ""
        self._saved = False
        self._disturbed = False
        self._baseline = BlockStats()
        self._memory = 0

    @classmethod
    def boot(cls, **setup: Unpack[Setup]) -> Self:
        """Boot until the agent answers.

        BootError: no ready agent within the deadline, or the guest reset itself before. GuestFault: the kernel says
        that it died. MachineError, HostError: QEMU does not start.
        """
        machine = cls(**setup)
        with ExitStack() as failure:
            failure.callback(machine.close)
            machine._boot()
            failure.pop_all()
        return machine

    @classmethod
    def restored(cls, **setup: Unpack[Setup]) -> Self:
        """Start from the cached snapshot of a booted machine; where there is none yet, boot one and take it.

        Errors as for `boot`.
        """
        machine = cls(**setup)
        with ExitStack() as failure:
            failure.callback(machine.close)
            machine._entry = machine._host.snapshot(machine.parts, machine._fit, machine._booted)
            machine._start_from_entry()
            failure.pop_all()
        return machine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def state(self) -> MachineState:
        """Where the machine stands now."""
        if self._state in _LIVE and self._session is not None and self._session.ended:
            return MachineState.DEAD
        return self._state

    @property
    def pid(self) -> int:
        """QEMU's process id, on its host."""
        return self._live("looking for QEMU").pid

    @property
    def console(self) -> Console:
        """The console since boot or the last restore."""
        return self._live("reading the console").console

    @property
    def agent(self) -> Agent:
        """The agent of the guest as it runs now; workers do not survive a restore."""
        return Agent(self._live("asking the agent").rpc)

    @property
    def symbols(self) -> Symbols:
        """The kernel's symbols (none without a System.map)."""
        return self._symbols

    @property
    def memory(self) -> int:
        """Bytes, in quarters of a MiB: what the guest had free when first asked; all else is the kernel's.

        The measure for pressure: a kernel of 2000 leaves nine tenths of 16 MiB to others, one of today with all its
        checks half of 32.
        """
        if not self._memory:
            info = self.agent.sysinfo()
            self._memory = (info.freeram + info.bufferram) * info.mem_unit & -1 << 18
        return self._memory

    def swapon(self) -> None:
        """Let the guest swap on the second disk; what memory it has is noted before."""
        _ = self.memory
        self.agent.swapon(self.spec.swap_device)

    def by_hand(self) -> str:
        """Return a shell command that boots the same machine on a person's terminal."""
        return self._host.by_hand(self.parts, self._fit)

    def check(self) -> None:
        """Raise the fault that the console has told of, or what ended QEMU; call it at the end of a scenario."""
        self._live("checking the machine").watch.check()

    def qmp(
        self, command: str, arguments: Mapping[str, object] | None = None, deadline: float = COMMAND_SECONDS
    ) -> Any:
        """Return the value of a QMP command. QEMU's own names: some have hyphens, the older ones underscores.

        Faults put into a disk (`blockdev-add`, `blockdev-reopen` on the nodes "root" and "swap") are gone after the
        next restore of a machine made by `restored`, since that then starts a new QEMU.
        """
        self._disturbed = self._disturbed or command.startswith(_DISTURBING)
        return self._live(f"QMP {command}").qmp.execute(command, arguments, deadline)

    def block_stats(self) -> BlockStats:
        """Return what the disks transferred since boot or the last restore."""
        return self._all_block_stats() - self._baseline

    def pmemsave(self, address: int, size: int) -> bytes:
        """Return `size` bytes of guest-physical memory."""
        return self._live("reading the guest's memory").memory(address, size)

    def swap_contents(self, offset: int, size: int) -> bytes:
        """Return what is on the swap disk: `size` bytes at `offset`, within 64 KiB; the guest must be stopped."""
        demand(self.state, MachineState.STOPPED, doing="reading the swap disk")
        return self._live("reading the swap disk").swap_contents(offset, size)

    def stop(self) -> None:
        """Stop the guest's CPUs and clock."""
        demand(self.state, MachineState.RUNNING, doing="stopping the guest")
        self.qmp("stop")
        self._state = MachineState.STOPPED

    def cont(self) -> None:
        """Let a stopped guest go on."""
        demand(self.state, MachineState.STOPPED, doing="continuing the guest")
        self.qmp("cont")
        self._state = MachineState.RUNNING

    def snapshot(self) -> None:
        """Take the snapshot that `restore` goes back to (a restored machine has one already).

        The agent must be idle. It lasts as long as the machine.
        """
        demand(self.state, MachineState.RUNNING, doing="taking a snapshot")
        self.agent.ping()
        self._snapshot_job("snapshot-save")
        self._saved = True

    def restore(self) -> None:
        """Put the guest back to its snapshot: in place, or in a new process if QEMU is dead or its disks were changed.

        Lines, faults, block statistics, requests under way and workers of the time
        before are forgotten. MachineError: the machine is dead, and was booted rather than restored.
        """
        demand(self.state, *_LIVE, MachineState.DEAD, doing="restoring the snapshot")
        if not self._saved:
            raise MachineError("there is no snapshot", doing="restoring", hint="call snapshot() after boot()")
        if self.state is not MachineState.DEAD and not (self._disturbed and self._entry):
            self._restore_in_place()
        elif self._entry:
            self._start_from_entry()
        else:
            raise MachineError(
                "QEMU is gone, and the snapshot with it",
                doing="restoring",
                hint="machines made by Machine.restored() survive this",
            )

    def close(self) -> None:
        """End QEMU and let everything go; harmless when called again."""
        self._drop_session()
        self._state = MachineState.CLOSED

    def _boot(self) -> None:
        with self._journal.stage("boot", self.reason):
            self._journal.record("note", text=f"by hand: {self.by_hand()}")
            self._start()
            try:
                self.console.wait_for(READY, self._deadline)
                self.agent.ping()
            except GuestReset as error:
                raise BootError(error.what, doing="booting", seen=error.seen, hint=error.hint) from error
            except (AgentError, SubjectError) as error:
                if type(error) not in (AgentError, SubjectError):
                    raise
                raise self._no_boot(error) from error

    def _no_boot(self, error: LabError) -> BootError:
        place = self._where()
        where = f"; the CPU is in {place}" if place else ""
        return BootError(
            f"no ready agent ({error.what}){where}",
            doing="booting",
            seen=self.console.tail(),
            log=self._log,
            hint=f"see it by hand: {self.by_hand()}",
        )

    def _where(self) -> Place | None:
        """Return the function that the first CPU executes."""
        try:
            text = self.qmp("human-monitor-command", {"command-line": "info registers"})
        except LabError:
            return None
        found = _EIP.search(str(text))
        return self._symbols.place(int(found[1], 16)) if found else None

    def _booted(self) -> Qemu:
        """Boot, take the snapshot, and return the QEMU that ended with it on its disks."""
        self._boot()
        self.snapshot()
        assert self._session is not None
        return self._session.quit()

    def _start_from_entry(self) -> None:
        with self._journal.stage("restore", "new process"):
            self._start(self._entry)
            self._saved = True
            self._baseline = BlockStats()  # a new QEMU counts from zero
            self.agent.ping(deadline=RESTORE_SECONDS)

    def _restore_in_place(self) -> None:
        session = self._live("restoring the snapshot")
        with self._journal.stage("restore", "in place"):
            session.qmp.execute("stop")
            self._state = MachineState.STOPPED
            session.rewind("restored")
            self._snapshot_job("snapshot-load")
            self._baseline = self._all_block_stats()
            session.qmp.execute("cont")
            self._state = MachineState.RUNNING
            self.agent.ping(deadline=RESTORE_SECONDS)

    def _snapshot_job(self, command: str) -> None:
        session = self._live("working on a snapshot")
        session.qmp.job(command, {"tag": snapshots.TAG, "vmstate": "root", "devices": session.disks})

    def _all_block_stats(self) -> BlockStats:
        return blocks.read(self.qmp("query-blockstats"))

    def _start(self, entry: str = "") -> None:
        self._drop_session()
        self._state = MachineState.STARTING
        self._session = Session(
            self._host.start(self.parts, self._fit, entry),
            symbols=self._symbols,
            journal=self._journal,
            log=self._log,
            ready=self._ready,
        )
        self._session.rpc.patience = self.settings.patience
        self._state = MachineState.RUNNING
        self._disturbed = False

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _live(self, doing: str) -> Session:
        """Return the session; of a dead machine as well, whose watch says why it died."""
        demand(self._state, *_LIVE, doing=doing)
        assert self._session is not None
        return self._session

    def _ready(self, doing: str) -> None:
        """Refuse a request to the agent of a guest that does not run; a dead one's watch says more than its state."""
        if self.state is not MachineState.DEAD:
            demand(self.state, MachineState.RUNNING, doing=doing)
