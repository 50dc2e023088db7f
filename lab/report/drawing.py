"""A panel of the timeline, turned into a picture: the whole run, or the time of one scenario."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from lab.report import svg
from lab.report.chart import Bar, Chart, Curve, Mark
from lab.report.scenarios import Scenario
from lab.report.svg import Picture, lasting, short
from lab.report.timeline import MACHINE, Call, Panel, Segment
from lab.report.view import Run, Stage

SIGNS = {"passed": "✓", "failed": "✗", "error": "!", "skipped": "–", "unfinished": "…"}  # noqa: RUF001
MORE_SIGNS = {"impossible": "∅", "timeout": "◔"}  # of a grid
_FIGURES = {"passed": svg.CHECK, "skipped": svg.BAR}
MIB = 1 << 20


def whole(run: Run, panel: Panel, width: int, name: str) -> Picture:
    """Draw all of a process's time with a machine, which is the axis's zero."""
    title = f"Timeline of process {panel.worker}" if panel.worker else "Timeline of the machine"
    chart = Chart(panel.begin, panel.end, width, panel.begin)
    mine = [one for one in run.scenarios if one.worker == panel.worker and one.end >= panel.begin]
    chart.lanes("scenarios", (_scenario(one, run.seed) for one in mine))
    return _draw(chart, run, panel, name, title)


def before(run: Run, width: int, name: str) -> Picture | None:
    """Draw what was prepared before a machine ran, each stage with its time; None if nothing was."""
    first = min((panel.begin for panel in run.panels), default=run.seconds)
    found = [stage for stage in run.stages if stage.name not in MACHINE and stage.begin <= first]
    if not found:
        return None
    chart = Chart(min(stage.begin for stage in found), max(stage.begin + stage.seconds for stage in found), width)
    chart.lanes("stages", (_stage(stage, told=True) for stage in found), most=4)
    words = [f"{stage.name} {lasting(stage.seconds)}" for stage in found]
    return chart.picture(name, "What was prepared", f"{', '.join(words)}.")


def part(run: Run, scenario: Scenario, width: int, name: str) -> Picture | None:
    """Draw the time of one scenario; None if its process did nothing that can be seen."""
    panel = next((panel for panel in run.panels if panel.worker == scenario.worker), None)
    if panel is None or scenario.end <= panel.begin:
        return None
    begin = max(scenario.begin, panel.begin)  # the first one's setup may have built a kernel
    chart = Chart(begin, scenario.end, width, panel.begin)
    return _draw(chart, run, panel, name, f"Timeline of {scenario.name}")


def _draw(chart: Chart, run: Run, panel: Panel, name: str, title: str) -> Picture:
    begin, end = chart.begin, chart.end
    mine = [one for one in run.scenarios if one.worker == panel.worker and one.end >= begin and one.begin <= end]
    inside = [segment for segment in panel.segments if segment.samples[-1].t >= begin and segment.samples[0].t <= end]
    stages = [one for one in run.stages if one.worker == panel.worker and one.begin + one.seconds > begin]
    chart.lanes("stages", map(_stage, stages))
    _memory(chart, inside)
    chart.bars("calls of kvmd", "kvmd", panel.kvmd)
    chart.bars("calls of kvmd that it refused", "refused", panel.refused)
    chart.lanes("calls that took long", map(_call, panel.long_calls), most=4)
    chart.bars("lines on the console", "console", panel.console)
    chart.marks("faults, asserts, and how scenarios ended", _marks(mine))
    return chart.picture(name, title, says(mine, inside, sum(begin <= t <= end for t in panel.kvmd)))


def _memory(chart: Chart, inside: Sequence[Segment]) -> None:
    def curves(field: str) -> list[Curve]:
        return [[(one.t, getattr(one, field) / 1024) for one in segment.samples] for segment in inside]

    totals = [one.total_kib / 1024 for segment in inside for one in segment.samples]
    chart.curves("free memory, as the guest tells", "MiB", "free", curves("free_kib"), max(totals, default=0.0))
    chart.curves("swap in use, as the guest tells", "MiB", "used", curves("swap_used_kib"))
    read = [rates(segment, "swap_read") for segment in inside]
    written = [rates(segment, "swap_written") for segment in inside]
    chart.mirror("swap traffic, as QEMU counts", "MiB/s", ("read", read), ("written", written))
    chart.curves("guest's clock since the first sample", "s", "guest", [guest_time(segment) for segment in inside])


def rates(segment: Segment, field: str) -> Curve:
    """Return MiB per second between each sample and the one before; nothing of a single sample."""
    pairs = pairwise(segment.samples)
    moved = [(b.t, (getattr(b, field) - getattr(a, field)) / MIB / max(b.t - a.t, 1e-6)) for a, b in pairs]
    return [(segment.samples[0].t, moved[0][1]), *moved] if moved else []


def guest_time(segment: Segment) -> Curve:
    """Return the seconds of the guest's clock since the segment began; nothing if it was not asked."""
    first = segment.samples[0].guest
    return [(one.t, one.guest - first) for one in segment.samples if one.guest is not None and first is not None]


def _scenario(one: Scenario, seed: str) -> Bar:
    """The label leaves out what all have: the first word, and the run's seed."""
    label = one.name.removeprefix("test_").removesuffix(f"[{seed}]")
    title = f"{one.name}: {one.verdict}, {short(one.seconds)} s"
    return Bar(one.begin, one.end, one.verdict, f"{SIGNS[one.verdict]} {label}", title)


def _stage(stage: Stage, *, told: bool = False) -> Bar:
    """`told`: the label says how long it took, too."""
    kind = "stage" if stage.outcome == "done" else "stage failed"
    label = stage.name if stage.outcome == "done" else f"{stage.name}: {stage.outcome}"
    title = f"{label}, {lasting(stage.seconds)}"
    return Bar(stage.begin, stage.begin + stage.seconds, kind, title if told else label, title)


def _call(call: Call) -> Bar:
    label = f"{call.name} {call.refused}".strip()
    kind = "call refused" if call.refused else "call"
    return Bar(call.t, call.t + call.seconds, kind, label, f"{label}, {short(call.seconds)} s")


def _marks(mine: Iterable[Scenario]) -> Iterable[Mark]:
    for one in mine:
        figure = _FIGURES.get(one.verdict, svg.CROSS)
        yield Mark(one.end, one.verdict, figure, f"{one.name}: {one.verdict}")
        for check in one.checks:
            kind, figure = ("passed", svg.CHECK) if check.passed else ("failed", svg.CROSS)
            yield Mark(check.t, kind, figure, f"{check.what}: {'held' if check.passed else 'did not hold'}")
        for fault in one.faults:
            yield Mark(fault.t, "fault", svg.DIAMOND, f"{fault.kind}: {fault.text}")


def says(mine: Sequence[Scenario], inside: Sequence[Segment], calls: int) -> str:
    """Put a picture into words."""
    ends = [f"{sum(one.verdict == verdict for one in mine)} {verdict}" for verdict in SIGNS]
    words = ["Scenarios: " + ", ".join(end for end in ends if not end.startswith("0 ")) if mine else "No scenario"]
    samples = [sample for segment in inside for sample in segment.samples]
    if samples:
        free = [sample.free_kib / 1024 for sample in samples]
        used = max(sample.swap_used_kib for sample in samples) / 1024
        words.append(f"free memory between {short(min(free))} and {short(max(free))} MiB")
        words.append(f"swap in use up to {short(used)} MiB")
        for field, what in (("swap_written", "written to"), ("swap_read", "read from")):
            moved = sum(getattr(one.samples[-1], field) - getattr(one.samples[0], field) for one in inside)
            words.append(f"{short(moved / MIB)} MiB {what} the swap disk")
    words += [f"{calls} calls of kvmd"] if calls else []
    faults = sum(len(one.faults) for one in mine)
    words += [f"{faults} fault{'s' if faults > 1 else ''} of the kernel"] if faults else []
    return "; ".join(words) + "."
