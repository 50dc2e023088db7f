"""A tree as the port engine sees it: texts read once, changed in memory, written all together or not at all."""

from __future__ import annotations

from pathlib import Path

# Latin-1 gives every byte of the old sources a character and back again.
ENCODING = "latin-1"


class Workspace:
    """The texts below `root`, by their path relative to it."""

    def __init__(self, root: Path) -> None:
        """Nothing is read yet."""
        self.root = root
        self._texts: dict[str, str] = {}
        self.changed: dict[str, str | None] = {}
        self.memo: dict[str, frozenset[str]] = {}  # what a transform found out about the whole tree

    def files(self, patterns: tuple[str, ...]) -> list[str]:
        """Return the paths of the files that match any of the glob patterns, sorted; links are left out."""
        found: set[str] = set()
        for pattern in patterns:
            if not any(mark in pattern for mark in "*?["):
                if (self.root / pattern).is_file() or pattern in self.changed:
                    found.add(pattern)
                continue
            for path in self.root.glob(pattern):
                if path.is_file() and not path.is_symlink():
                    found.add(path.relative_to(self.root).as_posix())
        return sorted(found)

    def exists(self, path: str) -> bool:
        """Whether there is such a file, on disk or in memory."""
        return path in self.changed or (self.root / path).is_file()

    def read(self, path: str) -> str:
        """Return a file's text as it stands now."""
        if path not in self._texts:
            self._texts[path] = (self.root / path).read_bytes().decode(ENCODING)
        return self._texts[path]

    def write(self, path: str, text: str) -> None:
        """Change a file in memory; `changed` remembers what stood on disk (None for a new file)."""
        if path not in self.changed:
            self.changed[path] = self.read(path) if (self.root / path).is_file() else None
        self._texts[path] = text

    def flush(self, root: Path) -> None:
        """Write what was changed to the tree at `root`.

        All of it beside the old files first, so that a full disk leaves those as they are.
        Each file is replaced, never written in place, so that a link's other end is safe.
        """
        ready: list[tuple[Path, Path]] = []
        try:
            for path in self.changed:
                target = root / path
                ready.append((target.with_name(f"{target.name}.kvmd-lab-new"), target))
                self._write_beside(*ready[-1], self._texts[path].encode(ENCODING))
        except OSError:
            for fresh, _ in ready:
                fresh.unlink(missing_ok=True)
            raise
        for fresh, target in ready:
            fresh.replace(target)

    @staticmethod
    def _write_beside(fresh: Path, target: Path, raw: bytes) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(raw)
        if target.exists():
            fresh.chmod(target.stat().st_mode & 0o777)
