"""Keys that a development installation makes for itself, each in a 0600 file of the data directory."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from pulsecloud.env import SettingError

VARIABLES = {"secret_key": "SECRET_KEY", "encryption_key": "PULSECLOUD_ENCRYPTION_KEY"}


def ensure(data_dir: Path, name: str, *, production: bool) -> str:
    """The text of keys/NAME, made once. In production the key must come from the environment.

    Raises SettingError, also when the directory belongs to another user, such as root's of an
    earlier run.
    """
    if production:
        variable = VARIABLES[name]
        raise SettingError(f"{variable} (or {variable}_FILE) must be set in production.")
    path = data_dir / "keys" / name
    try:
        return _made(path, 48 if name == "secret_key" else 32)
    except PermissionError as error:
        raise SettingError(
            f"{error.filename or path} cannot be used: it belongs to another user. Run as that "
            "user, or choose another PULSECLOUD_DATA_DIR."
        ) from None


def _made(path: Path, size: int) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = base64.b64encode(secrets.token_bytes(size)).decode()
    # Two first starts at once: whoever links first wins, and both read the winner's key.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text + "\n", encoding="ascii")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text(encoding="ascii").strip()
