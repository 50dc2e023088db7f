"""The record of first use: what a path or a release held when the lab first used it, so that a change is told."""

from __future__ import annotations

import msgspec

from lab.errors import SourceError
from lab.journal import Journal
from lab.source.contents import Contents, differences
from lab.source.memo import Memo

_KIND = "first-use"


class _Record(msgspec.Struct, frozen=True):
    key: str
    digest: str
    files: dict[bytes, bytes]


def check(key: str, contents: Contents, *, memo: Memo, journal: Journal, accept_changed: bool, remedy: str) -> None:
    """Record the contents under `key` on first use; later ones that differ are a SourceError that names files.

    With `accept_changed` they are recorded instead. `remedy` says what else than accepting can be done.
    """
    known = memo.recall(_KIND, key, _Record)
    if known is not None and known.digest == contents.digest:
        return
    if known is not None and not accept_changed:
        raise SourceError(
            f"{key} has changed since its first use (digest {known.digest[:12]} then, {contents.digest[:12]} now)",
            seen=differences(known.files, contents.files),
            hint=f"--accept-changed to go on with it as it is now; {remedy}",
        )
    if known is not None:
        journal.record("note", text=f"{key}: accepted its change from {known.digest[:12]} to {contents.digest[:12]}")
    if not memo.keep(_KIND, key, _Record(key, contents.digest, contents.files)):
        journal.record("note", text=f"{key}: its digest could not be recorded, the cache cannot be written")
