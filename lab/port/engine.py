"""Apply the ledger to a tree: every record exactly as often as it says, or nothing at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from lab.errors import PortError
from lab.port.ctokens import body, find, solid, tokens
from lab.port.ledger import Ledger, Record, read_installed
from lab.port.transforms import NAMED
from lab.port.workspace import ENCODING, Workspace
from lab.source.catalogue import without_records
from lab.version import KernelVersion

STAMP = ".kvmd-lab-port.json"


class Applied(msgspec.Struct, frozen=True):
    """What one record did: places changed, by file."""

    id: str
    kind: str
    why: str
    places: dict[str, int]


class Ported(msgspec.Struct, frozen=True):
    """A ported tree: where it is, what it was, what was done to it."""

    path: Path
    version: str
    ledger: str
    applied: tuple[Applied, ...]


def apply(
    root: Path,
    version: KernelVersion,
    ledger: Ledger,
    on_record: Callable[[Record, Workspace], None] | None = None,
    write: bool = True,
    into: Callable[[], Path] | None = None,
) -> Ported:
    """Port the tree at `root` in place and leave a stamp in it; a tree that has the stamp already is left as it is.

    `on_record` sees the workspace after each record, before anything is written. A record whose number of places
    differs, and a tree that was ported with another ledger, are PortErrors; then nothing was written. With `write`
    false nothing ever is. `into` gives the copy of the tree that is to be changed in its stead; it is asked for when
    all records have been found to fit, so that the copying can go on meanwhile.
    """
    done = _stamped(root, version, ledger)
    if done is not None:
        return done
    workspace = Workspace(root)
    applied = []
    for record in ledger.records:
        if record.holds_for(version):
            applied.append(_apply_record(record, ledger, workspace, version))
            if on_record is not None:
                on_record(record, workspace)
    ported = Ported(root, str(version), ledger.digest, tuple(applied))
    if not write:
        return ported
    target = root if into is None else into()
    ported = msgspec.structs.replace(ported, path=target)
    workspace.flush(target)
    (target / STAMP).write_bytes(msgspec.json.encode(ported, enc_hook=str))
    return ported


def _stamped(root: Path, version: KernelVersion, ledger: Ledger) -> Ported | None:
    stamp = root / STAMP
    if not stamp.is_file():
        return None
    try:
        done = msgspec.json.decode(stamp.read_bytes(), type=Ported, dec_hook=lambda _type, text: Path(text))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        what = f"{stamp} is damaged ({error})"
        raise PortError(what, doing=f"porting {version}", hint="start from a pristine tree") from error
    if done.ledger != ledger.digest or done.version != str(version):
        raise PortError(
            f"{root} was ported before, as {done.version} and with another ledger",
            doing=f"porting {version}",
            hint="start from a pristine tree",
        )
    return msgspec.structs.replace(done, path=root)


def _apply_record(record: Record, ledger: Ledger, workspace: Workspace, version: KernelVersion) -> Applied:
    if record.install:
        places = _install(record, ledger, workspace)
    elif record.transform:
        places = _transform(record, workspace)
    else:
        places = _replace(record, workspace)
    total = sum(places.values())
    if total != record.count:
        where = ", ".join(f"{path}: {number}" for path, number in places.items()) or f"no place in {_files(record)}"
        raise PortError(
            f"record {record.id} should change {record.count} places and found {total} ({where})",
            doing=f"porting {version}",
            hint=_remedy(record, workspace, version),
        )
    return Applied(record.id, record.kind, record.why, places)


def _remedy(record: Record, workspace: Workspace, version: KernelVersion) -> str:
    """Return what to try where a record does not fit."""
    if any("\r\n" in workspace.read(path) for path in workspace.files(record.files)):
        return "its lines end with CR LF: unpack it again, or `git config core.autocrlf false` before git makes it"
    return without_records(version) or (
        "the tree was edited, or is not the version that its Makefile says; give a pristine one, or mend the record in "
        "kernel-patches/"
    )


def _files(record: Record) -> str:
    return " ".join(record.files)


def _install(record: Record, ledger: Ledger, workspace: Workspace) -> dict[str, int]:
    text = read_installed(ledger, record).decode(ENCODING)
    for target in record.files:
        if workspace.exists(target):
            raise PortError(f"record {record.id} would overwrite {target}", hint="give a pristine tree")
        workspace.write(target, text)
    return dict.fromkeys(record.files, 1)


def _transform(record: Record, workspace: Workspace) -> dict[str, int]:
    function = NAMED.get(record.transform)
    if function is None:
        raise PortError(f"record {record.id} names the transform {record.transform!r}, which does not exist")
    places = {}
    for path in workspace.files(record.files):
        text, count = function(workspace.read(path), workspace, record.options)
        if count:
            workspace.write(path, text)
            places[path] = count
    return places


def _replace(record: Record, workspace: Workspace) -> dict[str, int]:
    assert record.replace is not None
    fresh = _as_in_tree(record.replace)
    places = {}
    for path in workspace.files(record.files):
        text = workspace.read(path)
        spans = _spans(record, text)
        for start, end in reversed(spans):
            text = text[:start] + fresh.replace("@", text[start:end]) + text[end:]
        if spans:
            workspace.write(path, text)
            places[path] = len(spans)
    return places


def _as_in_tree(text: str) -> str:
    """The ledger is UTF-8; the workspace has a character for each byte."""
    return text.encode().decode(ENCODING)


def _spans(record: Record, text: str) -> list[tuple[int, int]]:
    """Character ranges that the record names, in the order of the text."""
    scope = body(text, record.within) if record.within else (0, len(text))
    if scope is None:
        return []
    part = text[scope[0] : scope[1]]
    return [(scope[0] + start, scope[0] + end) for start, end in _matches(record, part)]


def _matches(record: Record, part: str) -> list[tuple[int, int]]:
    wanted = _as_in_tree(record.match)
    if record.look_in == "code":
        return find(tokens(part), wanted) if solid(tokens(wanted))[0].text in part else []
    literal = re.compile(re.escape(wanted))
    if record.look_in == "text" or wanted not in part:
        return [match.span() for match in literal.finditer(part)]
    return [
        (token.start + match.start(), token.start + match.end())
        for token in tokens(part)
        if token.kind == "string"
        for match in literal.finditer(token.text)
    ]
