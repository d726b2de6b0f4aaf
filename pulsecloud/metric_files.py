"""Counter files of processes that died: their counts are kept, their files are not (F72).

prometheus_client gives each process a file of its own and adds them up at scrape. It never
removes a counter's file, because that would lose what was counted, so a restarting process leaves
one more behind each time. Here the files of dead processes are folded into one.

Folding must neither lose nor double a count when it is killed half-way. It writes the new sum
beside the old one, then a journal that names the files that the sum replaces. The journal's
rename is the moment it counts: whoever comes next finds it and finishes the work, which can be
done any number of times.

    counter_4711.db            a process, alive or dead
    counter_folded.db          what dead processes counted
    fold.draft, fold.journal   a fold under way
    lock                       shared by readers, exclusive while folding
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

FOLDED: Final = "counter_folded.db"
DRAFT: Final = "fold.draft"
JOURNAL: Final = "fold.journal"
_COUNTER: Final = re.compile(r"^counter_(\d+)\.db$")
_ANY: Final = re.compile(r"^[a-z_]+_(\d+)\.db$")
# Fewer dead files than this are read as they are: a scrape should seldom write.
FOLD_FROM: Final = 4


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
    """Folds the counter files of dead processes when there are enough; returns how many."""
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


def _write_sum(directory: Path, dead: list[Path]) -> None:
    """Writes the draft, then the journal; a crash before the journal's rename changes nothing."""
    draft = directory / DRAFT
    draft.unlink(missing_ok=True)
    sums: dict[str, float] = {}
    for file in [directory / FOLDED, *dead]:
        if _size(file) > 0:
            values = MmapedDict.read_all_values_from_file(str(file))  # type: ignore[no-untyped-call]
            for key, value, _, _ in values:
                sums[key] = sums.get(key, 0.0) + value
    target: Any = MmapedDict(str(draft))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        target.write_value(key, value, 0.0)
    target.close()
    _synced(draft)
    note = directory / f"{JOURNAL}.new"
    note.write_text(json.dumps([file.name for file in dead]), encoding="utf-8")
    _synced(note)
    note.replace(directory / JOURNAL)


def _finish(directory: Path) -> None:
    """Does what the journal says, if there is one. The lock is held exclusively."""
    journal = directory / JOURNAL
    try:
        names = json.loads(journal.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    with contextlib.suppress(FileNotFoundError):  # renamed before a crash
        (directory / DRAFT).replace(directory / FOLDED)
    for name in names:
        (directory / name).unlink(missing_ok=True)
    journal.unlink()


def _dead(directory: Path) -> list[Path]:
    return [
        file
        for file in directory.glob("counter_*.db")
        if (match := _COUNTER.match(file.name)) and not _alive(int(match[1]))
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
