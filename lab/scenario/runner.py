"""Run scenarios by pytest from within: the same tests that plain pytest runs, with a journal of the caller's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lab.errors import UsageError
from lab.journal import Journal
from lab.scenario import parallel, plugin
from lab.scenario.subject import Subject

if TYPE_CHECKING:
    from lab.source import Tree

SUITE = Path(__file__).parent / "suite"
INI = Path(__file__).parent / "pytest.ini"
FAILED = 1


class NotPassed(msgspec.Struct, frozen=True):
    """A test that did not pass: its node's id, "failed" or "error", and the first line of the reason."""

    test: str
    verdict: str
    why: str


class Outcome(msgspec.Struct, frozen=True):
    """How a run ended: counts of tests, the exit code of the command line, the first error's text, what did not pass.

    `error` is a LabError's; a test that only found something else than it wanted has its reason in `broken`.
    """

    passed: int
    failed: int
    errors: int
    skipped: int
    exit_code: int
    error: str
    broken: tuple[NotPassed, ...] = ()


def names() -> list[str]:
    """Return the names of the scenarios that come with the lab."""
    return sorted(path.stem.removeprefix("test_") for path in SUITE.glob("test_*.py"))


def paths(wanted: Sequence[str]) -> list[str]:
    """Turn names of scenarios, or paths of the user's own tests, into paths for pytest; none means all."""
    found = []
    for name in wanted:
        own = SUITE / f"test_{name}.py"
        if not own.is_file() and not Path(name.partition("::")[0]).exists():
            raise UsageError(f"there is no scenario {name!r}", hint=f"scenarios: {', '.join(names())}; or a path")
        found.append(str(own) if own.is_file() else name)
    return found or [str(SUITE)]


class _Collector:
    """Sits in pytest, gives the plugin the journal and the subject, and counts."""

    def __init__(self, subject: Subject, journal: Journal, run: Path, tree: Tree | None) -> None:
        self.subject = subject
        self.tree = tree
        self.journal = journal
        self.run = run
        self.outcomes: dict[str, str] = {}
        self.first_error: plugin.ErrorRecord | None = None
        self.broken: list[NotPassed] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[plugin.JOURNAL] = self.journal
        config.stash[plugin.RUN] = self.run
        config.stash[plugin.SUBJECT] = self.subject
        config.stash[plugin.TREE] = self.tree

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        worst = self.outcomes.get(report.nodeid)
        self.first_error = self.first_error or plugin.failure(report)
        if report.failed:
            told = plugin.why(report)
            self.outcomes[report.nodeid] = told["verdict"]
            self.broken.append(NotPassed(report.nodeid, told["verdict"], told["why"].strip().partition("\n")[0]))
        elif report.skipped and worst is None:
            self.outcomes[report.nodeid] = "skipped"
        elif report.when == "call" and worst is None:
            self.outcomes[report.nodeid] = "passed"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        task = parallel.WorkerTask(self.run, self.subject, self.journal.start)
        node.workerinput[parallel.KEY] = parallel.pack(task)


@contextmanager
def _alone() -> Iterator[None]:
    """Let pytest look for no plugins: to import them all takes longer than a short scenario."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        yield


def run(
    subject: Subject,
    wanted: Sequence[str],
    journal: Journal,
    folder: Path,
    *,
    options: Sequence[str] = (),
    tree: Tree | None = None,
    workers: int | None = 1,
    bare: bool = False,
) -> Outcome:
    """Run scenarios and return how it went; `options` are pytest's own and those of the plugin.

    `tree` is the subject's, if it is here already; several processes get their own.

    `bare`: without the pytest plugins that are installed, for scenarios of the lab's own that need none; one process.

    `workers` processes do the work, each with machines of its own; None chooses for this host and these scenarios.
    JUnit goes to `folder`/junit.xml. Ctrl-C is raised as KeyboardInterrupt after pytest has put everything away.
    """
    collector = _Collector(subject, journal, folder, tree)
    chosen = paths(wanted)
    arguments = [
        *chosen,
        *parallel.options(parallel.choose(workers, chosen)),
        f"--junitxml={folder / 'junit.xml'}",
        "-p",
        "no:cacheprovider",
        f"--rootdir={SUITE}",
        "-c",
        str(INI),
        *options,
    ]
    try:
        with _alone() if bare else nullcontext():
            status = pytest.main([*arguments, *(["-p", plugin.__name__] if bare else [])], plugins=[collector])
    finally:
        parallel.gather(folder, journal)
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if status in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED, pytest.ExitCode.INTERNAL_ERROR):
        raise UsageError(f"pytest ended with {pytest.ExitCode(status).name}", doing="running the scenarios")
    count = list(collector.outcomes.values()).count
    error = collector.first_error
    code = 0 if status == 0 else error.exit_code if error is not None else FAILED
    return Outcome(
        passed=count("passed"),
        failed=count("failed"),
        errors=count("error"),
        skipped=count("skipped"),
        exit_code=code,
        error=error.text if error else "",
        broken=tuple(collector.broken),
    )
