from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.resources import folder

DATA = Path(__file__).parents[1] / "data"
CFLAGS = ["-m32", "-march=i586", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pic", "-fno-pie"]
CFLAGS += ["-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-mno-sse", "-mno-mmx"]
CFLAGS += ["-fno-tree-loop-distribute-patterns"]  # a memmove must not become a call to itself
LDFLAGS = ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,noexecstack"]


@pytest.fixture(scope="session")
def toy_kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy guest, compiled: what a kernel and a root image with an agent are otherwise."""
    out = tmp_path_factory.mktemp("toyguest") / "toy.elf"
    toy, guest = DATA / "toyguest", folder("images") / "src"
    sources = [toy / "start.S", toy / "toy.c", guest / "frame.c"]
    words = ["gcc", *CFLAGS, *LDFLAGS, "-T", toy / "toy.ld", "-I", guest, "-o", out, *sources]
    subprocess.run([str(word) for word in words], check=True)
    return out
