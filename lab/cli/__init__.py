"""The command line: one sub-command per stage, each usable alone."""

from lab.cli.app import main

__all__ = ["main"]
