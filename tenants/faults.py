"""Named points at which a test may kill the process, to show what a crash leaves behind."""

from __future__ import annotations

import os
import signal

from django.conf import settings


def point(name: str) -> None:
    """SIGKILLs this process when PULSECLOUD_FAULT names this point (refused in production)."""
    if settings.FAULT and name == settings.FAULT:
        os.kill(os.getpid(), signal.SIGKILL)
