"""The sub-commands' arguments and options as one table; `python -m lab.cli.reference` writes it as docs/options.md."""

from __future__ import annotations

from typing import NamedTuple

import typer

from lab.cli.app import app

_HEAD = """# Options

Made from `lab/cli/` by `python -m lab.cli.reference`; change it there. The same thing has the same name in every
sub-command. A name stands twice where a sub-command takes several values, or gives its own default.

| name | meaning | sub-commands |
|---|---|---|
"""


class CliOption(NamedTuple):
    """An argument or option as a sub-command has it; `takes` is its value's name, empty for a flag."""

    name: str
    takes: str
    meaning: str


def options() -> dict[CliOption, list[str]]:
    """Return each argument and option of the command line, with the sub-commands that have it, in their order."""
    command = typer.main.get_command(app)
    found: dict[CliOption, list[str]] = {}
    for name, sub_command in command.commands.items():  # type: ignore[attr-defined]
        for parameter in sub_command.params:
            if getattr(parameter, "hidden", False) or parameter.name == "context":
                continue
            is_option = parameter.param_type_name == "option"
            names = "/".join([*parameter.opts, *parameter.secondary_opts]) if is_option else parameter.metavar
            takes = (parameter.metavar or "") if is_option else ""
            found.setdefault(CliOption(names, takes, parameter.help), []).append(name)
    return found


def page() -> str:
    """Return docs/options.md."""
    rows = sorted(options().items(), key=lambda row: (row[0].name.startswith("-"), row[0]))
    lines = [
        f"| `{f'{option.name} {option.takes}'.strip()}` | {option.meaning.replace('|', '/')} | {', '.join(commands)} |"
        for option, commands in rows
    ]
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
