"""The texts by which a kernel says that it dies, and the lines around them turned into a decoded report.

The texts are those of the 2.3 era (2.3.99-pre3: arch/i386/mm/fault.c, arch/i386/kernel/traps.c, kernel/panic.c,
mm/swapfile.c), and the few by which today's kernels differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from lab.errors import GuestFault
from lab.machine.symbols import Place, Symbols


class Pattern(msgspec.Struct, frozen=True):
    """A line that means the end of a scenario: `kind` is a word for people, `text` is searched for."""

    kind: str
    text: re.Pattern[str]


def _pattern(kind: str, text: str) -> Pattern:
    return Pattern(kind, re.compile(text))


# In the order of trial: the first that fits names the fault. Unmistakable texts count anywhere in a line: they may
# come behind another printk's half line.
PATTERNS = (
    _pattern("panic", r"Kernel panic( - not syncing)?: "),
    _pattern("oops", r"Unable to handle kernel (NULL pointer dereference|paging request) at "),
    _pattern("oops", r"^(Oops|general protection fault|double fault|divide error|stack segment): [0-9a-f]{4}"),
    _pattern("oops", r"^BUG: (unable to handle|kernel NULL pointer)"),  # 2.6 and later, like all that follow with ^
    _pattern("bug", r"kernel BUG at \S+:\d+"),
    _pattern("bug", r"^invalid (operand|opcode): [0-9a-f]{4}"),  # what BUG() runs into
    _pattern("locking", r"^(WARNING|INFO): (possible|inconsistent|bad|lock held|held lock|trying to register) "),
    _pattern("locking", r"^(WARNING|INFO): suspicious RCU usage"),
    _pattern("locking", r"^BUG: (MAX_|held lock|using )"),  # lockdep's tables are full: it looks no further
    _pattern("sleep", r"^BUG: (sleeping function called|scheduling while atomic)"),
    _pattern("slab", r"^BUG \S+ \(.*\): "),
    _pattern("leak", r"^kmemleak: (unreferenced object |\d+ new suspected memory leaks)"),
    _pattern("leak", r"^kmemleak: (Cannot|Kernel memory leak detector disabled)"),  # it looks no further
    _pattern("stuck", r"^INFO: task \S+ blocked for more than \d+ seconds"),
    _pattern("stuck", r"^(INFO: )?rcu\S* .*(detected stalls|self-detected stall)"),
    _pattern("stuck", r"^(watchdog: )?BUG: .*(soft lockup|lockup)"),
    _pattern("bug", r"^BUG: \S"),
    _pattern("warning", r"^WARNING: (CPU: \d+ PID: |.* detected)"),
    _pattern("lockup", r"NMI Watchdog detected LOCKUP"),
    _pattern("killed process", r"VM: killing process \S"),
    _pattern("killed process", r"^Out of [Mm]emory: [Kk]illed process "),
    _pattern("swap map", r"^swap_free: "),
    _pattern("swap map", r"^VM: (Undead|Bad) swap entry "),
    _pattern("swap map", r"^(Bad swap (file|offset) entry|Unused swap offset entry) "),
    _pattern("swap map", r"^_?(swap_info_get|get_swap_device|swap_dup\w*): "),
    _pattern("agent died", r"^lab: agent died"),
)

# a level that printk left in front, a time stamp of later kernels
_PREFIX = re.compile(r"^(?:<\d>)?(?:\[ *\d+\.\d+\] ?)?(?:rcu: )?")
_ADDRESS = re.compile(r"\[<([0-9a-f]{8})>\]")
_EIP = re.compile(r"\bEIP: +(?:[0-9a-f]{4}:)?\[<([0-9a-f]{8})>\]")
_PROCESS = re.compile(r"\bProcess (\S+) \(pid: (\d+)")
_LAST = re.compile(r"Code: |Rebooting in |---\[ end ")  # the lines that close an oops or a panic


def death(line: str) -> Pattern | None:
    """Return the pattern that a console line fits, if it is one that means a fault."""
    text = _PREFIX.sub("", line)
    return next((pattern for pattern in PATTERNS if pattern.text.search(text)), None)


def closes(line: str) -> bool:
    """Whether a line is the last one of a report, so that there is nothing more to wait for."""
    return _LAST.match(_PREFIX.sub("", line)) is not None


class Report(msgspec.Struct, frozen=True):
    """A fault as the console told it; `eip` and `trace` are None and empty without a System.map or a trace."""

    kind: str
    text: str
    lines: tuple[str, ...]
    eip: Place | None = None
    process: str = ""
    trace: tuple[Place, ...] = ()

    def told(self) -> dict[str, Any]:
        """Return what the journal keeps of it: the console's lines are there already."""
        trace = [str(place) for place in self.trace]
        eip = str(self.eip) if self.eip else ""
        return {"what": self.kind, "text": self.text, "eip": eip, "process": self.process, "trace": trace}

    def decoded(self) -> list[str]:
        """Return the console's lines with the names behind the addresses, for people."""
        frames = [f"    {place}" for place in self.trace]
        where = [f"EIP is in {self.eip}"] if self.eip else []
        return [*self.lines, *where, *(["Call Trace (decoded):", *frames] if frames else [])]


class ConsoleFault(GuestFault):
    """The console shows a fault of the kernel; `report` holds it decoded."""

    def __init__(self, report: Report, *, doing: str = "", log: object = None, hint: str = "") -> None:
        where = f" in {report.eip}" if report.eip else ""
        by = f", process {report.process}" if report.process else ""
        super().__init__(f"{report.text}{where}{by}", doing=doing, seen=report.decoded(), hint=hint)
        self.report = report
        self.console_log = log


def report(lines: Sequence[str], symbols: Symbols) -> Report | None:
    """Turn console lines into a report; None when no line means a fault.

    The report begins at the first such line. Addresses in a call trace that are in no function are left out, and so
    is the word on the stack that only repeats EIP.
    """
    begin = next((index for index, line in enumerate(lines) if death(line)), None)
    if begin is None:
        return None
    found = death(lines[begin])
    assert found is not None
    body = tuple(lines[begin:])
    text = "\n".join(body)
    eip = _EIP.search(text)
    process = _PROCESS.search(text)
    _, _, tail = text.partition("Call Trace:")
    trace = (symbols.place(int(match[1], 16)) for match in _ADDRESS.finditer(tail.partition("Code:")[0]))
    return Report(
        kind=found.kind,
        text=_PREFIX.sub("", lines[begin]).strip(),
        lines=body,
        eip=symbols.place(int(eip[1], 16)) if eip else None,
        process=f"{process[1]} (pid {process[2]})" if process else "",
        trace=tuple(place for place in trace if place is not None),
    )
