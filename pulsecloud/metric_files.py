"""Files of processes that died: what they counted is kept, their files are not (F72).

prometheus_client gives each process a file of its own for counters, one for histograms, and adds
them up at scrape. It never removes them, because that would lose what was counted, so a
restarting process leaves more behind each time. Here the files of dead processes are folded into
one of each kind. A histogram's file holds each bucket by itself, not yet added up to a cumulative
one, so that both kinds are folded by adding.

Folding must neither lose nor double a count when it is killed half-way. It writes the new sums
beside the old ones, then a journal that names the files that the sums replace. The journal's
rename is the moment it counts: whoever comes next finds it and finishes the work, which can be
done any number of times.

    counter_4711.db, histogram_4711.db       a process, alive or dead
    counter_folded.db, histogram_folded.db   what dead processes counted
    counter.draft, histogram.draft           a fold under way, and
    fold.journal                             what it replaces
    lock                                     shared by readers, exclusive while folding
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

KINDS: Final = ("counter", "histogram")
JOURNAL: Final = "fold.journal"
_OURS: Final = re.compile(rf"^({'|'.join(KINDS)})_(\d+)\.db$")
_ANY: Final = re.compile(r"^[a-z_]+_(\d+)\.db$")
# Fewer dead files than this are read as they are: a scrape should seldom write. A process leaves
# one of each kind.
FOLD_FROM: Final = 8


@contextlib.contextmanager
def reading(directory: Path) -> Iterator[list[Path]]:
    """The files to add up, which nobody folds meanwhile."""
    directory.mkdir(parents=True, exist_ok=True)
    while True:
        fold(directory, at_least=FOLD_FROM)
        with _locked(directory, fcntl.LOCK_SH):
            if (directory / JOURNAL).exists():
                continue  # somebody died folding since: finish that first, or it counts twice
            # A process that starts this moment may have made its file and not given it a size.
            yield [file for file in sorted(directory.glob("*.db")) if _size(file) > 0]
            return


def fold(directory: Path, *, at_least: int = 1) -> int:
    """Folds the files of dead processes when there are enough; returns how many."""
    dead = _dead(directory)
    if len(dead) < at_least and not (directory / JOURNAL).exists():
        return 0
    with _locked(directory, fcntl.LOCK_EX):
        _finish(directory)
        dead = _dead(directory)
        if dead:
            _write_sum(directory, dead)
            _finish(directory)
        for pid in {int(match[1]) for file in dead if (match := _ANY.match(file.name))}:
            mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]
    return len(dead)


def folded(kind: str) -> str:
    """Name of the file of what dead processes counted; `kind` is one of KINDS."""
    return f"{kind}_folded.db"


def draft(kind: str) -> str:
    return f"{kind}.draft"


def _write_sum(directory: Path, dead: list[Path]) -> None:
    """Writes the drafts, then the journal; a crash before the journal's rename changes nothing."""
    for kind in KINDS:
        files = [file for file in dead if file.name.startswith(f"{kind}_")]
        (directory / draft(kind)).unlink(missing_ok=True)
        if files:
            _write_draft(directory / draft(kind), [directory / folded(kind), *files])
    note = directory / f"{JOURNAL}.new"
    note.write_text(json.dumps([file.name for file in dead]), encoding="utf-8")
    _synced(note)
    note.replace(directory / JOURNAL)


def _write_draft(target: Path, files: list[Path]) -> None:
    sums: dict[str, float] = {}
    for file in files:
        if _size(file) > 0:
            values = MmapedDict.read_all_values_from_file(str(file))  # type: ignore[no-untyped-call]
            for key, value, _, _ in values:
                sums[key] = sums.get(key, 0.0) + value
    written: Any = MmapedDict(str(target))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        written.write_value(key, value, 0.0)
    written.close()
    _synced(target)


def _finish(directory: Path) -> None:
    """Does what the journal says, if there is one. The lock is held exclusively."""
    journal = directory / JOURNAL
    try:
        names = json.loads(journal.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    for kind in KINDS:
        with contextlib.suppress(FileNotFoundError):  # renamed before a crash, or none of them
            (directory / draft(kind)).replace(directory / folded(kind))
    for name in names:
        (directory / name).unlink(missing_ok=True)
    journal.unlink()


def _dead(directory: Path) -> list[Path]:
    return [
        file
        for file in directory.glob("*.db")
        if (match := _OURS.match(file.name)) and not _alive(int(match[2]))
    ]


def _alive(pid: int) -> bool:
    """A reused pid counts as alive, which only means that its file is folded later.

    All processes that share the directory must share a PID namespace, as prometheus_client
    requires anyway.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _synced(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


@contextlib.contextmanager
def _locked(directory: Path, mode: int) -> Iterator[None]:
    with (directory / "lock").open("a") as lock:
        fcntl.flock(lock, mode)
        yield
