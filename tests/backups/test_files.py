"""A file that is not exactly what was written is refused, and nothing is touched."""

from __future__ import annotations

import base64
import os
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tenants.backups import archive, restoring
from tenants.models import Backup, Organisation
from tests.backups.filling import ACTOR, back_up, file_of, filled, state_of
from tests.factories import make_organisation


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def written(path: Path, *sizes: int) -> tuple[Path, dict[str, Any]]:
    """A file with a frame of incompressible bytes of each size."""
    about = {"organisation": uuid4(), "backup": uuid4()}
    with archive.Writer(path, **about) as out:
        for size in sizes:
            out.frame("D", os.urandom(size))
        out.frame("Z", {})
    return path, about


def kinds(path: Path, about: dict[str, Any]) -> str:
    return "".join(kind for kind, _ in archive.read(path, **about))


def code_of(path: Path, about: dict[str, Any]) -> str:
    with pytest.raises(archive.ArchiveError) as refused:
        kinds(path, about)
    return refused.value.code


@pytest.mark.parametrize("size", [0, 1, archive.CHUNK, 3 * archive.CHUNK + 17])
def test_what_goes_in_comes_out(tmp_path: Path, size: int) -> None:
    about = {"organisation": uuid4(), "backup": uuid4()}
    data = os.urandom(size)
    with archive.Writer(tmp_path / "x", **about) as out:
        out.frame("D", data)
        out.frame("Z", {"a": 1})
    assert list(archive.read(tmp_path / "x", **about)) == [("D", data), ("Z", b'{"a": 1}')]


def test_an_interrupted_one_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        archive.Writer(tmp_path / "x", organisation=uuid4(), backup=uuid4()) as out,
    ):
        out.frame("D", os.urandom(100_000))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_not_kept_full(tmp_path: Path) -> None:
    """What was written of the file goes, although closing it fails as well."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            written(tmp_path / "x", 990_000, 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_every_cut_is_seen(tmp_path: Path) -> None:
    path, about = written(tmp_path / "x", 150_000)
    whole = path.read_bytes()
    chunk = archive.CHUNK + 20
    header = whole.index(b"}") + 1
    for end in [
        0,
        3,
        8,
        50,
        header,
        header + 2,
        header + chunk,
        header + 2 * chunk,
        len(whole) - 1,
    ]:
        path.write_bytes(whole[:end])
        assert code_of(path, about) in ("cut_short", "not_a_backup"), end
    path.write_bytes(whole + b"x")
    assert code_of(path, about) == "damaged"


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    path, about = written(tmp_path / "x", 150_000)
    whole = path.read_bytes()
    header = whole.index(b"}") + 1
    places = [*range(header + 8), *random.Random(4).sample(range(len(whole)), 60)]
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 1 << (place % 8)
        path.write_bytes(broken)
        assert code_of(path, about), place


def test_chunks_cannot_change_places(tmp_path: Path) -> None:
    path, about = written(tmp_path / "x", 200_000)
    whole = path.read_bytes()
    header, size = whole.index(b"}") + 1, archive.CHUNK + 20
    first, second = whole[header : header + size], whole[header + size : header + 2 * size]
    path.write_bytes(whole[:header] + second + first + whole[header + 2 * size :])
    assert code_of(path, about) == "damaged"


def test_the_wrong_key_is_named(tmp_path: Path, settings: Any) -> None:
    path, about = written(tmp_path / "x", 10)
    right, of_then = settings.ENCRYPTION_KEY, archive.key_id()
    settings.ENCRYPTION_KEY = key()
    with pytest.raises(archive.ArchiveError, match=of_then) as refused:
        kinds(path, about)
    assert refused.value.code == "wrong_key"
    assert right not in str(refused.value)
    settings.ENCRYPTION_KEY = "not a key"
    assert code_of(path, about) == "no_key"


def test_junk_is_no_backup(tmp_path: Path) -> None:
    about = {"organisation": uuid4(), "backup": uuid4()}
    for junk in (
        b"",
        b"PCBK1",
        b"PCBK1\xff\xff\xff\xff",
        b"PCBK1\x00\x00\x00\x02{}",
        os.urandom(500),
    ):
        (tmp_path / "x").write_bytes(junk)
        assert code_of(tmp_path / "x", about) == "not_a_backup"


def flip(path: Path, _: Organisation) -> None:
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def cut(path: Path, _: Organisation) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def swap(path: Path, other: Organisation) -> None:
    """Another organisation's file under this one's name."""
    path.write_bytes(file_of(back_up(other)).read_bytes())


def lose(path: Path, _: Organisation) -> None:
    path.unlink()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (flip, "damaged"),
        (cut, "cut_short"),
        (swap, "wrong_organisation"),
        (lose, "file_missing"),
        (None, "wrong_key"),
    ],
)
def test_nothing_changes_when_a_file_is_refused(
    spoil: Callable[[Path, Organisation], None] | None, code: str, settings: Any
) -> None:
    organisation, other = filled(), make_organisation()
    backup: Backup = back_up(organisation)
    before, schema = state_of(organisation), organisation.schema_name
    if spoil is not None:
        spoil(file_of(backup), other)
    else:
        settings.ENCRYPTION_KEY = key()
    with pytest.raises(restoring.RestoreRefused) as refused:
        restoring.restore(organisation=organisation, backup=backup, actor=ACTOR, reason="try")
    assert refused.value.code == code
    organisation.refresh_from_db()
    assert organisation.schema_name == schema
    assert state_of(organisation) == before
