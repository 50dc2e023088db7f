"""A listing and built programs, to an ext2 root disk, the same bytes each time, without root's privileges.

The disk is made empty and then filled by debugfs, not by `mke2fs -d`, since that copies the change times of the
host's files, which nobody can set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.errors import HostError
from lab.image.listing import Listing
from lab.image.tools import Tools

_UUID = "6b766d64-2d6c-4162-8000-000000000001"
_TIME = "954806400"  # 2000-04-04, 00:00 UTC
_MODES = {"b": 0o060600, "c": 0o020600, "p": 0o010600}
_INODES = 128
# Kernels of the time know revision 0 only. mke2fs makes it by -r 0 up to 1.47.0, later by no option at all; so it makes
# revision 1 with nothing new in it (inodes of 128 bytes, no feature), and debugfs then takes the revision back.
_NOTHING_NEW = ("-I", "128", "-O", "none")
_REVISION_0 = "set_super_value rev_level 0"
# debugfs ends with 0 even when a command failed; these are the lines that it prints when all is well
_HARMLESS = ("debugfs", "Allocated inode: ")


def root_disk(tools: Tools, listing: Listing, programs: Mapping[str, Path], out: Path) -> Path:
    """Write the root disk beside the programs and return its path.

    A tool that fails, or a disk that e2fsck refuses, is a HostError.
    """
    env = {**os.environ, "E2FSPROGS_FAKE_TIME": _TIME, "SOURCE_DATE_EPOCH": _TIME, "LC_ALL": "C", "PAGER": "cat"}
    env["MKE2FS_CONFIG"] = os.devnull  # the host's own has defaults that end in the superblock
    words: list[str | Path] = [tools.mke2fs, "-q", "-F", "-t", "ext2", *_NOTHING_NEW, "-b", "1024", "-m", "0"]
    words += ["-N", str(_INODES), "-U", _UUID, "-E", f"hash_seed={_UUID},root_owner=0:0"]
    tools.do([*words, out, str(listing.size_kib)], env=env)
    script = "\n".join(_commands(listing, programs)) + "\n"
    lines = tools.do([tools.debugfs, "-w", "-f", "-", out], cwd=out.parent, env=env, stdin=script.encode())
    bad = [line for line in lines if line.strip() and not line.startswith(_HARMLESS)]
    if bad:
        raise HostError("debugfs refused a command", doing="filling the root disk", seen=bad, log=tools.log)
    tools.do([tools.e2fsck, "-f", "-n", out], env=env)
    return out


def _commands(listing: Listing, programs: Mapping[str, Path]) -> Iterator[str]:
    for folder in sorted(listing.folders):
        yield f"mkdir {folder}"
    for place, program in sorted(programs.items()):
        yield f"write {program.name} {place}"
        yield f"set_inode_field {place} mode 0100755"
    for place, (kind, major, minor) in sorted(listing.nodes.items()):
        folder, _, name = place.rpartition("/")
        yield f"cd {folder or '/'}"
        yield f"mknod {name} p" if kind == "p" else f"mknod {name} {kind} {major} {minor}"
        yield f"set_inode_field {name} mode 0{_MODES[kind]:o}"
    yield _REVISION_0
