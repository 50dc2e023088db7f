"""Requests, answers and errors, from one side to the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import CompileError, GuestFault, HostError, InfraError, LabError
from lab.machine.host import Fit
from lab.machine.session import GuestReset
from lab.machine.snapshots import Provenance
from lab.machine.spec import MachineSpec, Parts
from lab.remote import messages
from lab.version import KernelVersion

PARTS = Parts(kernel_image=Path("/k"), root=Path("/r é"))
FIT = Fit(MachineSpec(cpus=2, icount_shift=None), "tcg", "why")
KERNEL = messages.FindKernel(
    version=KernelVersion("2.3.99-pre3"),
    tree="abc",
    origin="somewhere",
    variant="smp",
    kvmd=False,
    fragments=(Path("/one"),),
    patches=(),
    cc="gcc-11",
    mutant=None,
    checks=False,
)


@pytest.mark.parametrize(
    "request_",
    [
        messages.Hello("qemu", 2.5),
        messages.Start(3, PARTS, FIT, "key"),
        messages.Save(3, Provenance("key", "tcg", "command", "k", "r", "")),
        messages.Take(Path("/sent"), "abc", "name"),
        KERNEL,
        messages.BuildKernel(KERNEL),
    ],
)
def test_request_arrives_as_it_was_made(request_: messages.Request) -> None:
    asked = messages.Asked(7, request_)  # type: ignore[arg-type]
    assert messages.decode(messages.encode(asked), messages.Asked) == asked


def test_answer_without_a_value_is_none() -> None:
    assert messages.decode(messages.encode(None), messages.BuiltKernel | None) is None


def over(error: LabError) -> LabError:
    sent = messages.encode(messages.failure(1, error))
    return messages.error(messages.decode(sent, messages.Failure), "me@box")


def test_error_arrives_as_the_same_kind_and_says_where_it_happened() -> None:
    error = over(CompileError("no", doing="compiling", seen=["line"], log=Path("/log"), hint="mend it"))
    assert type(error) is CompileError
    assert str(error).splitlines() == [
        "compiling on me@box: no",
        "  | line",
        "  | (the log is /log on me@box)",
        "  try: mend it",
    ]


@pytest.mark.parametrize(
    ("error", "kind"), [(GuestReset("gone"), GuestFault), (HostError("full"), HostError), (InfraError("x"), InfraError)]
)
def test_error_that_only_one_stage_knows_arrives_as_what_it_is_derived_from(
    error: LabError, kind: type[LabError]
) -> None:
    assert type(over(error)) is kind
