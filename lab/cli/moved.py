"""What is spelt otherwise than it once was: the new spelling, for whoever types the old one."""

from __future__ import annotations

from typer.exceptions import TyperException

OPTIONS = {
    ("build", "--smp"): "--cpus 2",
    ("matrix", "--kernels"): "--kernel",
    ("matrix", "--budget"): "--timeout",
    ("bisect", "--kernels"): "--kernel",
    ("bisect", "--budget"): "--timeout",
    ("bisect", "--scenario"): "the scenario's name alone",
    ("bisect", "--repeat"): "--seeds",
    ("run", "--control"): "--mutant",
    ("shell", "--control"): "--mutant",
    ("mutants", "--only"): "--mutant",
    ("mutants", "--control"): "--mutant",
    ("mutants", "--patience"): "--answer-timeout",
    ("bench", "--only"): "--figure",
}
COMMANDS = {"controls": "mutants"}
NAMED_A_KERNEL = {"fetch", "port", "build", "boot", "shell", "bench"}


def new_spelling(error: TyperException) -> str:
    """Return what to type instead; empty: it was never spelt so."""
    context = getattr(error, "ctx", None)
    command = "" if context is None else str(context.info_name)
    option = getattr(error, "option_name", "")
    if not option and command in NAMED_A_KERNEL and "extra argument" in error.format_message():
        return f"--kernel {error.format_message().rpartition('(')[2].rstrip(')')}"
    for old, new in COMMANDS.items():
        if error.format_message().startswith(f"No such command '{old}'"):
            return f"kvmd-lab {new}"
    return OPTIONS.get((command, option), "")
