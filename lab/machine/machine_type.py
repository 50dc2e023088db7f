"""Which of QEMU's machine types: one that every QEMU offers for years, so that a boot is the same under the next one.

A type is named after the release that froze it, is called deprecated when it is three years old, and goes after six
(QEMU's docs/about/deprecated). So the name can't be written down once and for all.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache

from lab.errors import HostError
from lab.process import require

FIRST = (7, 2)  # what the lab was first tried with; its type is the oldest that is taken
_TYPE = re.compile(r"(pc-i440fx-(\d+)\.(\d+)) .*")


@cache
def machine_type(binary: str) -> str:
    """Return the oldest PC (i440FX) from 7.2 on that this QEMU offers and does not call deprecated.

    HostError: there is none, since it is too old or no PC, or it does not start.
    """
    doing = "choosing a machine type"
    argv = [require(binary, "qemu-system-x86", doing), "-machine", "help"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as error:
        raise HostError(f"{binary} cannot be started ({error.strerror})", doing=doing) from error
    found = choose(done.stdout)
    if found is None:
        raise HostError(
            f"{binary} offers no i440FX PC of {'.'.join(map(str, FIRST))} or newer",
            doing=doing,
            seen=(done.stdout + done.stderr).splitlines()[-5:],
            hint="QEMU 7.2 or newer for i386 (Debian: qemu-system-x86); KVMD_LAB_QEMU names another program",
        )
    return found


def choose(listing: str) -> str | None:
    """Return the type that fits from what `-machine help` prints, None if there is none."""
    types = [match for line in listing.splitlines() if (match := _TYPE.fullmatch(line))]
    ages = {(int(match[2]), int(match[3])): match[1] for match in types if "(deprecated)" not in match[0]}
    fitting = [age for age in ages if age >= FIRST]
    return ages[min(fitting)] if fitting else None
