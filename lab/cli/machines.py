"""Sub-commands that start a machine: boot, shell, run, demo, bench."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import msgspec
import typer

from lab.cli import common
from lab.cli.options import (
    AsJson,
    Built,
    Checks,
    Compiler,
    Cpus,
    DryRun,
    HostChoice,
    Listing,
    Mutant,
    Output,
    Scenarios,
    Seed,
    Seeds,
    Size,
    Source,
    Workers,
    expand,
)

DEMO = ("tour",)


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    for command in (boot, shell, run, demo, bench):
        app.command()(expand(command))


def boot(
    source: Source,
    size: Size,
    host: HostChoice,
    cc: Compiler = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Boot a kernel until its agent answers, show the console, and stop."""
    import time

    from lab.machine.machine import Machine

    with common.bench(source.subject(cc=cc), host, quiet=as_json) as bench:
        setup = bench.setup(bench.spec(**size.given))
        if dry_run:
            machine = Machine(**setup)
            common.say({"by_hand": machine.by_hand()}, as_json=as_json, text=machine.by_hand())
            return
        begin = time.monotonic()
        with Machine.boot(**setup) as machine:
            seconds = time.monotonic() - begin
            lines = machine.console.lines
            value = {"seconds": seconds, "console": lines, "by_hand": machine.by_hand()}
            text = "\n".join(lines) + f"\n\nready after {seconds:.2f} s; by hand:\n{machine.by_hand()}"
            common.say(value, as_json=as_json, text=text)


def shell(source: Source, size: Size, host: HostChoice, cc: Compiler = None, mutant: Mutant = None) -> None:
    """Boot a kernel and give a Python prompt with `machine`, `agent`, `worker` and `kvmd` at hand."""
    import code

    from lab.scenario.kvmd import Kvmd

    with common.bench(source.subject(cc=cc, mutant=mutant), host) as bench:
        machine = bench.machine(bench.spec(**size.given))
        machine.swapon()
        worker = machine.agent.spawn()
        names = {"machine": machine, "agent": machine.agent, "worker": worker, "kvmd": Kvmd(worker)}
        banner = (
            f"Python with {', '.join(names)}. Try agent.sysinfo(), kvmd.stats(), machine.restore(). Ctrl-D ends it."
        )
        code.interact(banner=banner, local=names, exitmsg="")


def run(
    source: Source,
    size: Size,
    host: HostChoice,
    scenario: Scenarios = None,
    cc: Compiler = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    built: Built = None,
    workers: Workers = None,
    mutant: Mutant = None,
    checks: Checks = True,
    samples: Annotated[
        bool, typer.Option("--samples", help="Sample memory and swap all the time, for the report.")
    ] = False,
    listing: Listing = False,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Run scenarios (all, if none is named) and leave journal, console logs and JUnit in the run's folder."""
    from lab.scenario import runner
    from lab.scenario.run import run_scenarios

    if listing or dry_run:
        wanted = runner.paths(scenario or ()) if dry_run else runner.names()
        common.say(wanted, as_json=as_json, text="\n".join(wanted))
        return
    options = [*size.words, *([] if seed is None else [f"--seed={seed}"]), f"--seeds={seeds}"]
    options += [*(["--samples"] if samples else []), *common.host_options(host)]
    chosen = source.subject(cc=cc, mutant=mutant, checks=checks, built=built)
    view: Literal["none", "pytest"] = "none" if as_json else "pytest"
    result = run_scenarios(chosen, scenario or (), options, view=view, size=size.given, workers=workers)
    common.say(result, as_json=as_json, text=f"the run's folder: {result.folder}")
    raise SystemExit(result.outcome.exit_code)


def demo(source: Source, size: Size, host: HostChoice, cc: Compiler = None, checks: Checks = False) -> None:
    """Run the whole road: port, build, boot, put under swap pressure, judge; and tell what happens.

    It runs one scenario, the tour, and leaves a page that shows it; `run` takes all. A kernel of today is built without
    what it watches of itself and, unless --cpus says more, for one processor: seven tenths of the work. `run` and the
    tests build it with that and for several.
    """
    from lab.report.html import leave
    from lab.scenario.run import run_scenarios

    options = [*msgspec.structs.replace(size, cpus=size.cpus or 1).words, "--samples", *common.host_options(host)]
    result = run_scenarios(source.subject(cc=cc, checks=checks), DEMO, options, view="live", bare=True)
    print(f"its page, for a browser: {leave(result.folder)}")  # noqa: T201
    raise SystemExit(result.outcome.exit_code)


def bench(
    source: Source,
    figure: Annotated[
        list[str] | None, typer.Option("--figure", metavar="NAME", help="Only this one; repeatable.")
    ] = None,
    cpus: Cpus = None,
    cc: Compiler = None,
    output: Output = None,
    listing: Listing = False,
    as_json: AsJson = False,
) -> None:
    """Measure what the lab costs: build, boot, restore, round trips, the kvmd scenario. Medians, in one run."""
    from lab.scenario.bench import GROUPS, measure, table

    if listing:
        common.say(GROUPS, as_json=as_json, text="\n".join(GROUPS))
        return
    with common.result_file(output) as written, common.bench(source.subject(cc=cc), quiet=True) as opened:
        size = Size(cpus=cpus)
        figures = measure(opened, size.given, figure or (), lambda line: print(line, file=sys.stderr))  # noqa: T201
        if written is not None:
            written.truncate(0)
            written.write(msgspec.json.format(msgspec.json.encode(figures)))
        common.say(figures, as_json=as_json, text=table(figures))
