"""The folder `images/`, to a root disk and a swap disk, kept in the cache."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lab.cache import Cache, digest, file_digest, folder_digest
from lab.host_trouble import host_trouble
from lab.image import ext2, listing, programs, tools
from lab.image.swap import swap_disk
from lab.journal import Journal
from lab.resources import folder
from lab.settings import Settings
from lab.sizes import DEFAULT_SWAP_MIB

KIND = "image"


class Image(msgspec.Struct, frozen=True):
    """Disks for one guest, never written to: a machine puts overlays on them.

    `key` names the contents; `programs` has the guest's ELF files, with symbols, by their paths in the guest.
    """

    root: Path
    swap: Path
    key: str
    programs: dict[str, Path]


def build(
    settings: Settings, cache: Cache, journal: Journal, *, cc: str | None = None, swap_mib: int = DEFAULT_SWAP_MIB
) -> Image:
    """Return the guest's disks, from the cache or newly made (about half a second).

    The key covers `images/`, kvmdctl.h, this package, the tools' versions and the size of the swap disk. A missing
    tool is a HostError that names the package.
    """
    with journal.stage("image"), host_trouble("making the guest's disks"):
        return _build(settings, cache, journal, cc or settings.cc, swap_mib)


def _build(settings: Settings, cache: Cache, journal: Journal, cc: str, swap_mib: int) -> Image:
    sources, header = folder("images"), folder("kvmd") / "kvmdctl.h"
    listed = listing.read(sources / "root.toml")
    log = settings.cache / "logs" / "image.log"
    found = tools.find(cc, log, journal)
    own = folder_digest(Path(__file__).parent)
    key = digest(folder_digest(sources), file_digest(header), own, found.version, str(swap_mib))[:32]

    def make(entry: Path) -> None:
        built = _programs(found, listed, (sources / "src", header.parent), entry)
        ext2.root_disk(found, listed, built, entry / "root.img")
        swap_disk(entry / "swap.img", swap_mib)

    entry = cache.entry(KIND, key, make)
    paths = {place: entry / Path(place).name for place in listed.programs}
    return Image(root=entry / "root.img", swap=entry / "swap.img", key=key, programs=paths)


def _programs(found: tools.Tools, listed: listing.Listing, folders: tuple[Path, ...], out: Path) -> dict[str, Path]:
    return {
        place: programs.compile_program(found, place, sources, folders, out / Path(place).name)
        for place, sources in listed.programs.items()
    }
