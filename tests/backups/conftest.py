from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def directory(settings: Any, tmp_path: Path) -> Path:
    """Backups of each test lie in a directory of its own."""
    settings.BACKUP_DIR = tmp_path / "backups"
    return Path(settings.BACKUP_DIR)
