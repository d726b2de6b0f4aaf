"""What this process knows of who may do what, so that a warm answer costs no query (F75).

An entry is good only for the version of the organisation that it was read at. That version stands
in the organisation's row, which `tenants.hosts` reads at the start of every request, and moves in
the very transaction that changes a role, an assignment or a membership (`tenants.versions`). So a
change bites in every process with the next request, and no process has to be told.

Schema names are never used again, so an entry of a purged organisation can never be asked for;
`forget` only gives its memory back.

Memory is bounded by what is kept and not by how many people it is of: see `TOTAL`. Whose rights are
large is not kept at all, and read at each request, so that nobody fills the memory of others.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from rbac.authorizer import Rights

SIZE: Final = 4096  # people; about 1 KiB of each in each process, beside their grants
# Grants and conditions (`Rights.size`) of all of them together: 0.35 KiB each as people write them,
# 1 KiB at the very longest. With the above some 15 MiB in each process, 36 MiB at the worst.
TOTAL: Final = 32_768
LARGEST: Final = 500  # of one person: who has more is not kept

_Key = tuple[str, UUID]
_entries: OrderedDict[_Key, tuple[int, Rights]] = OrderedDict()
_total = 0  # of what is in `_entries`; goes with it under the lock
_lock = threading.Lock()


def get(schema_name: str, user_id: UUID, version: int) -> Rights | None:
    """What was read at exactly this version, or None."""
    key = (schema_name, user_id)
    with _lock:
        entry = _entries.get(key)
        if entry is None or entry[0] != version:
            return None
        _entries.move_to_end(key)
        return entry[1]


def put(schema_name: str, user_id: UUID, version: int, rights: Rights) -> None:
    """Keeps `rights`, read after the organisation's row said `version`.

    A request that began before a change may come here after one that began behind it: the newer
    entry stays. Who used it longest ago makes room; more than LARGEST is not kept.
    """
    global _total
    key = (schema_name, user_id)
    with _lock:
        entry = _entries.get(key)
        if entry is not None and entry[0] > version:
            return
        _drop(key)
        if rights.size > LARGEST:
            return
        _entries[key] = (version, rights)
        _total += rights.size
        while len(_entries) > SIZE or _total > TOTAL:
            _drop(next(iter(_entries)))


def forget(schema_name: str) -> None:
    """Drops all entries of one organisation; one that is unknown is fine."""
    with _lock:
        for key in [key for key in _entries if key[0] == schema_name]:
            _drop(key)


def count(schema_name: str | None = None) -> int:
    """How many people this process knows, of one organisation or of all."""
    with _lock:
        return sum(schema_name in (None, key[0]) for key in _entries)


def total() -> int:
    """How many grants and conditions this process keeps."""
    with _lock:
        return _total


def _drop(key: _Key) -> None:
    """Call it with the lock held."""
    global _total
    entry = _entries.pop(key, None)
    if entry is not None:
        _total -= entry[1].size
