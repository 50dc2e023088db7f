"""The pytest plugin: options, fixtures, and how errors are shown.

Fixtures are a ladder, each rung standing on the one before: `workbench` (session), `lab_kernel`, `lab_image`,
`lab_machine` (restored for each test), `worker`, `kvmd`. The machine's dimensions come from the command line and from
the marker `machine`:

    @pytest.mark.machine(ram_mib=32, cpus=2)

A scenario that makes no sense on some kernels says so, with the reason:

    @pytest.mark.kernels("<2.5", reason="today's kernels have no such thing")

A SubjectError is a FAIL wherever it is raised; an InfraError is an ERROR. What the host or the user did is shown as its
message and where it was raised; pytest's --full-trace shows the lab's code as well, and the journal has it in any case.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab import affinity
from lab.errors import InfraError, LabError, SubjectError, UsageError
from lab.journal import Journal
from lab.scenario import parallel
from lab.settings import Settings
from lab.version import KernelVersion, VersionRange

# Imported where they are used: this plugin is loaded into every pytest of the environment, also where nobody asks for
# a machine.

JOURNAL = pytest.StashKey[Journal]()
RUN = pytest.StashKey[Path]()
SUBJECT = pytest.StashKey[Any]()
TREE = pytest.StashKey[Any]()
_SEED = pytest.StashKey[int]()
_FAILED = pytest.StashKey[bool]()
_SEED_KEY = "kvmd_lab_seed"
_START = pytest.StashKey[float]()
_NUMBER = pytest.StashKey[int]()  # of this process among several
DIMENSIONS = ("ram_mib", "swap_mib", "cpus", "icount_shift", "skip_idle", "append")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the kernel and the machine under test."""
    group = parser.getgroup("kvmd-lab", "kvmd-lab: the kernel and the machine under test")
    group.addoption("--kernel", metavar="NAME", help="a kernel's name, such as 2.3.99-pre3")
    group.addoption("--tree", metavar="PATH", type=Path, help="its source: a folder or a tarball")
    group.addoption("--as", metavar="NAME", help="call it 2.3.99-pre3-5, whatever its Makefile says")
    group.addoption("--cc", metavar="CC", help="the compiler, such as gcc-11")
    group.addoption("--cpus", metavar="N", type=int, help="processors (default: as the kernel needs)")
    group.addoption("--ram", metavar="MIB", type=int, help="memory (default: as the kernel needs)")
    group.addoption("--swap", metavar="MIB", type=int, help="the swap disk (default: 96)")
    group.addoption("--seed", metavar="N", type=int, help="of the patterns and of every choice (default: drawn)")
    group.addoption(
        "--seeds", metavar="N", type=int, default=1, help="run each seeded test with N seeds from --seed on"
    )
    group.addoption("--samples", action="store_true", help="record memory and swap all the time (costs a little)")
    group.addoption("--host", metavar="SSH", help="do it on another host: ssh://user@box:port")
    group.addoption("--accept-new-host-key", action="store_true", help="if its key is not known, store it and go on")
    group.addoption("--run-folder", metavar="PATH", type=Path, help="where journal and console logs go")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; draw the seed, one for all processes of a run; take what the runner sent to this one."""
    config.addinivalue_line("markers", f"machine({', '.join(DIMENSIONS)}): dimensions of the machine")
    config.addinivalue_line("markers", "kernels(range, reason): skip on other kernels; both must be given")
    config.addinivalue_line("markers", "long: takes much longer than others; begun first, so that nobody waits for it")
    sent = getattr(config, "workerinput", {})
    asked = sent.get(_SEED_KEY, config.getoption("--seed"))
    config.stash[_SEED] = random.SystemRandom().getrandbits(31) if asked is None else asked
    if sent:
        config.stash[_NUMBER] = int(sent["workerid"].removeprefix("gw"))
    if parallel.KEY in sent:
        task = parallel.unpack(sent[parallel.KEY])
        config.stash[RUN] = task.run / sent["workerid"]
        config.stash[SUBJECT] = task.subject
        config.stash[_START] = task.start


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell another process of this run the seed, so that all have the same tests."""
    node.workerinput[_SEED_KEY] = node.config.stash[_SEED]


class ErrorRecord(msgspec.Struct, frozen=True):
    """A LabError that ended a test: its exit code and its text."""

    exit_code: int
    text: str


def failure(report: pytest.TestReport) -> ErrorRecord | None:
    """Return the LabError that a report tells of, wherever it was raised."""
    found = getattr(report, "lab_error", None)
    return None if found is None else ErrorRecord(*found)


def pytest_report_header(config: pytest.Config) -> str:
    """Name the seed."""
    return f"kvmd-lab: seed {config.stash[_SEED]} (repeat with --seed {config.stash[_SEED]})"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that takes `seed`, and has none of its own, as many as were asked for."""
    own = any("seed" in str(mark.args[0]) for mark in metafunc.definition.iter_markers("parametrize"))
    if "seed" in metafunc.fixturenames and not own:
        first = metafunc.config.stash[_SEED]
        metafunc.parametrize("seed", range(first, first + metafunc.config.getoption("--seeds")))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long ones first: of several processes, one that begins the longest at the end is waited for by all."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the kernel did as FAIL, what the host did as ERROR, and record the outcome."""
    report = yield
    trace = report.longreprtext
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    if call.excinfo is not None and report.failed:
        error = call.excinfo.value
        # The phase is what pytest tells FAIL from ERROR by, in the terminal and in JUnit alike.
        if isinstance(error, SubjectError):
            report.when = "call"
        elif isinstance(error, InfraError | UsageError):
            report.when = "setup"
        if isinstance(error, LabError):
            vars(report)["lab_error"] = [error.exit_code, str(error)]  # goes with it from one process to another
        if isinstance(error, InfraError | UsageError) and not item.config.getoption("fulltrace", default=False):
            report.longrepr = call.excinfo.getrepr(style="short", chain=False, tbfilter=_last_line)
    if JOURNAL in item.config.stash:
        broken = _failed_assert(report, call.excinfo.value) if call.excinfo is not None else {}
        if broken:
            item.config.stash[JOURNAL].record("check", passed=False, **broken)
        item.config.stash[JOURNAL].record(
            "outcome",
            test=item.nodeid,
            says=_first_line(item),
            phase=call.when,
            outcome=report.outcome,
            seconds=call.duration,
            **why(report, trace),
        )
    return report


def _last_line(found: pytest.ExceptionInfo[BaseException]) -> Any:
    return found.traceback[-1:]


def why(report: pytest.TestReport, trace: str = "") -> dict[str, str]:
    """Return what the journal keeps beside an outcome: FAIL or ERROR, the reason, the trace; nothing of a pass."""
    if report.skipped:
        place = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, "")
        return {"verdict": "skipped", "why": getattr(report, "wasxfail", "") or str(place[2]).removeprefix("Skipped: ")}
    if not report.failed:
        return {}
    found, crash = failure(report), getattr(report.longrepr, "reprcrash", None)
    reason = found.text if found else crash.message if crash else report.longreprtext
    return {"verdict": "failed" if report.when == "call" else "error", "why": reason, "trace": trace}


def _failed_assert(report: pytest.TestReport, error: BaseException) -> dict[str, str]:
    """Return what did not hold, and where; nothing if it was no assert that ended the test."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None or not report.failed or not isinstance(error, AssertionError):
        return {}
    return {"what": crash.message.partition("\n")[0], "line": f"{Path(crash.path).name}:{crash.lineno}"}


def _first_line(item: pytest.Item) -> str:
    """Return the sentence with which a scenario says what it shows."""
    text = getattr(getattr(item, "function", None), "__doc__", None) or ""
    return text.strip().partition("\n")[0]


@pytest.fixture(scope="session")
def lab_settings(pytestconfig: pytest.Config) -> Settings:
    """The settings of the environment, with the host that the command line names."""
    return Settings.from_environment().at(
        pytestconfig.getoption("--host"), accept_new_key=pytestconfig.getoption("--accept-new-host-key")
    )


@pytest.fixture(scope="session")
def lab_journal(pytestconfig: pytest.Config, lab_settings: Settings) -> Journal:
    """The run's journal, in --run-folder or in a new folder below the settings' runs."""
    from lab.report.folder import new_run

    seed = f"seed {pytestconfig.stash[_SEED]}"
    if JOURNAL in pytestconfig.stash:
        pytestconfig.stash[JOURNAL].record("note", text=seed)
        return pytestconfig.stash[JOURNAL]
    run = pytestconfig.stash.get(RUN, None) or pytestconfig.getoption("--run-folder") or new_run(lab_settings.runs)
    journal = Journal(run / "journal.jsonl", start=pytestconfig.stash.get(_START, None))
    # not at the end of this fixture: the last test's teardown, to which that belongs, has an outcome too
    pytestconfig.add_cleanup(journal.close)
    pytestconfig.stash[JOURNAL] = journal
    pytestconfig.stash[RUN] = run
    journal.record("note", text=seed)
    return journal


@pytest.fixture(scope="session")
def workbench(pytestconfig: pytest.Config, lab_settings: Settings, lab_journal: Journal) -> Iterator[Any]:
    """The subject's tree, kernels, images and machines."""
    from lab.scenario.subject import Subject
    from lab.scenario.workbench import Workbench

    option = pytestconfig.getoption
    asked = Subject(name=option("--kernel"), tree=option("--tree"), called=option("--as"), cc=option("--cc"))
    subject = pytestconfig.stash.get(SUBJECT, asked)
    tree = pytestconfig.stash.get(TREE, None)
    with Workbench(subject, lab_settings, lab_journal, pytestconfig.stash[RUN], tree) as bench:
        yield bench


def _skip_on_other_kernels(request: pytest.FixtureRequest, version: KernelVersion) -> None:
    for marker in request.node.iter_markers("kernels"):
        wanted, reason = marker.args[:1], marker.kwargs.get("reason", "")
        if not wanted or not reason:
            raise UsageError("the marker kernels takes a range and a reason", hint='kernels("<2.5", reason="...")')
        if version not in VersionRange(wanted[0]):
            pytest.skip(f"not on {version}: {reason}")


@pytest.fixture
def machine_spec(request: pytest.FixtureRequest, workbench: Any) -> Any:
    """The machine's dimensions: the marker's, else the command line's, else what suits the kernel."""
    _skip_on_other_kernels(request, workbench.version)
    given = {"ram_mib": "--ram", "swap_mib": "--swap", "cpus": "--cpus"}
    wanted = {name: request.config.getoption(option) for name, option in given.items()}
    for marker in request.node.iter_markers("machine"):
        unknown = set(marker.kwargs) - set(DIMENSIONS)
        if unknown or marker.args:
            raise UsageError(f"the marker machine takes {', '.join(DIMENSIONS)} by name, not {unknown or marker.args}")
        wanted |= marker.kwargs
    spec = workbench.spec(**{name: value for name, value in wanted.items() if value is not None})
    number = request.config.stash.get(_NUMBER, None)
    if number is not None:
        affinity.pin(number)
    return spec


@pytest.fixture
def lab_kernel(workbench: Any, machine_spec: Any) -> Any:
    """The kernel that fits the machine's number of processors."""
    return workbench.kernel("smp" if machine_spec.cpus > 1 else "up")


@pytest.fixture
def lab_image(workbench: Any, machine_spec: Any) -> Any:
    """The guest's disks."""
    return workbench.image(machine_spec.swap_mib)


@pytest.fixture
def lab_machine(request: pytest.FixtureRequest, workbench: Any, machine_spec: Any) -> Iterator[Any]:
    """A machine as it was when its agent came up, swap on.

    At the end its console must tell of no fault, and a kernel that can tell must know of no leak.
    """
    from lab.scenario.leaks import check_leaks
    from lab.scenario.sampler import sampled

    spec = machine_spec
    dimensions = {"cpus": spec.cpus, "ram_mib": spec.ram_mib, "swap_mib": spec.swap_mib}
    workbench.journal.record("machine", test=request.node.nodeid, **dimensions)
    machine = workbench.machine(machine_spec)
    if machine_spec.swap_mib:
        machine.swapon()
    with sampled(machine, workbench.journal, wanted=request.config.getoption("--samples")):
        yield machine
    machine.check()
    if not request.node.stash.get(_FAILED, False):
        check_leaks(machine, workbench.journal)


@pytest.fixture
def worker(lab_machine: Any) -> Any:
    """A process in the guest."""
    return lab_machine.agent.spawn()


@pytest.fixture
def kvmd(worker: Any) -> Any:
    """The control device of kvmd, opened by a worker."""
    from lab.scenario.kvmd import Kvmd

    return Kvmd(worker)
