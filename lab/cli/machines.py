"""Sub-commands that start a machine: boot, shell, run, demo, bench."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from lab.cli import common
from lab.cli.common import (
    AsJson,
    Built,
    Changed,
    Checks,
    Compiler,
    Cpus,
    Defect,
    DryRun,
    KernelName,
    Name,
    NewKey,
    Ram,
    RemoteHost,
    Swap,
    TreePath,
)

DEMO = ("tour",)


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    for command in (boot, shell, run, demo, bench):
        app.command()(command)


def boot(
    name: Name = None,
    tree: TreePath = None,
    cpus: Cpus = None,
    ram: Ram = None,
    swap: Swap = None,
    cc: Compiler = None,
    accept_changed: Changed = False,
    host: RemoteHost = None,
    new_key: NewKey = False,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Boot a kernel until its agent answers, show the console, and stop."""
    import time

    from lab.machine.machine import Machine

    chosen = common.subject(name, tree, cc=cc, accept_changed=accept_changed)
    with common.bench(chosen, quiet=as_json, host=host, new_key=new_key) as bench:
        setup = bench.setup(bench.spec(**common.dimensions(cpus, ram, swap)))
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


def shell(
    name: Name = None,
    tree: TreePath = None,
    cpus: Cpus = None,
    ram: Ram = None,
    swap: Swap = None,
    control: Defect = None,
    host: RemoteHost = None,
    new_key: NewKey = False,
) -> None:
    """Boot a kernel and give a Python prompt with `machine`, `agent`, `worker` and `kvmd` at hand."""
    import code

    from lab.scenario.kvmd import Kvmd

    with common.bench(common.subject(name, tree, control=control), host=host, new_key=new_key) as bench:
        machine = bench.machine(bench.spec(**common.dimensions(cpus, ram, swap)))
        machine.swapon()
        worker = machine.agent.spawn()
        names = {"machine": machine, "agent": machine.agent, "worker": worker, "kvmd": Kvmd(worker)}
        banner = (
            f"Python with {', '.join(names)}. Try agent.sysinfo(), kvmd.stats(), machine.restore(). Ctrl-D ends it."
        )
        code.interact(banner=banner, local=names, exitmsg="")


def run(
    scenario: Annotated[list[str] | None, typer.Argument(metavar="SCENARIO", help="Names, or paths of tests.")] = None,
    kernel: KernelName = None,
    tree: TreePath = None,
    cc: Compiler = None,
    cpus: Annotated[int | None, typer.Option(metavar="N", help="Processors (default 1).")] = None,
    ram: Annotated[int | None, typer.Option(metavar="MIB", help="The guest's memory (default 16).")] = None,
    swap: Annotated[int | None, typer.Option(metavar="MIB", help="Its swap disk (default 96).")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of the patterns (default: drawn and printed).")] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Run each seeded scenario with N seeds.")] = 1,
    built: Built = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes (default: 1; several scenarios: one a core).")
    ] = None,
    control: Defect = None,
    checks: Checks = True,
    samples: Annotated[
        bool, typer.Option("--samples", help="Sample memory and swap all the time, for the report.")
    ] = False,
    accept_changed: Changed = False,
    host: RemoteHost = None,
    new_key: NewKey = False,
    listing: Annotated[bool, typer.Option("--list", help="List the scenarios.")] = False,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Run scenarios (all, if none is named) and leave journal, console logs and JUnit in the run's folder."""
    from lab.scenario import runner
    from lab.scenario.session import run_scenarios

    if listing or dry_run:
        wanted = runner.paths(scenario or ()) if dry_run else runner.names()
        common.say(wanted, as_json=as_json, text="\n".join(wanted))
        return
    given = {"--cpus": cpus, "--ram": ram, "--swap": swap, "--seed": seed, "--seeds": seeds}
    options = [f"{option}={value}" for option, value in given.items() if value is not None]
    options += [*(["--samples"] if samples else []), *common.host_options(host, new_key=new_key)]
    chosen = common.subject(
        kernel, tree, cc=cc, accept_changed=accept_changed, control=control, checks=checks, built=built
    )
    view: Literal["none", "pytest"] = "none" if as_json else "pytest"
    result = run_scenarios(chosen, scenario or (), options, view=view, workers=workers)
    common.say(result, as_json=as_json, text=f"the run's folder: {result.folder}")
    raise SystemExit(result.outcome.exit_code)


def demo(
    kernel: KernelName = None,
    tree: TreePath = None,
    cpus: Cpus = None,
    checks: Checks = False,
    host: RemoteHost = None,
    new_key: NewKey = False,
) -> None:
    """Run the whole road: port, build, boot, put under swap pressure, judge; and tell what happens.

    It runs one scenario, the tour, and leaves a page that shows it; `run` takes all. A kernel of today is built without
    what it watches of itself and, unless --cpus says more, for one processor: seven tenths of the work. `run` and the
    tests build it with that and for several.
    """
    from lab.report.html import leave
    from lab.scenario.session import run_scenarios

    chosen = common.subject(kernel, tree, checks=checks)
    options = [f"--cpus={cpus or 1}", "--samples", *common.host_options(host, new_key=new_key)]
    result = run_scenarios(chosen, DEMO, options, view="live", bare=True)
    print(f"its page, for a browser: {leave(result.folder)}")  # noqa: T201
    raise SystemExit(result.outcome.exit_code)


def bench(
    name: Name = None,
    tree: TreePath = None,
    figure: Annotated[list[str] | None, typer.Option("--only", help="Only these figures.")] = None,
    cpus: Annotated[int, typer.Option(metavar="N", help="Processors.")] = 1,
    cc: Compiler = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the JSON there as well.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what the lab costs: build, boot, restore, round trips, the kvmd scenario. Medians, in one run."""
    from lab.report.bench import measure, table

    with common.result_file(output) as written, common.bench(common.subject(name, tree, cc=cc), quiet=True) as opened:
        figures = measure(opened, cpus=cpus, only=figure or (), tell=lambda line: print(line, file=sys.stderr))  # noqa: T201
        if written is not None:
            import msgspec

            written.truncate(0)
            written.write(msgspec.json.format(msgspec.json.encode(figures)))
        common.say(figures, as_json=as_json, text=table(figures))
