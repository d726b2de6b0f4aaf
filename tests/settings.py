"""The product's own settings, read from an environment that the machine cannot leak into."""

import os
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / "var" / "tests"

for _name in list(os.environ):
    if _name.startswith(("PULSE_", "PULSECLOUD_")) or _name.removesuffix("_FILE") in (
        "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "EMAIL_URL", "TRUSTED_PROXIES", "METRICS_TOKEN",
    ):  # fmt: skip
        del os.environ[_name]
(CACHE / "static").mkdir(parents=True, exist_ok=True)
os.environ["PULSECLOUD_DATA_DIR"] = str(CACHE)
os.environ["PULSE_HOSTED_MODE"] = "true"
# Tests ask more than people do; those about limits set their own.
for _limit in (
    "REQUESTS_PER_ORGANISATION", "REQUESTS_PER_CREDENTIAL", "REQUESTS_PER_ADDRESS",
    "WRITES_PER_ADDRESS",
):  # fmt: skip
    os.environ[f"PULSECLOUD_{_limit}"] = "1000000"
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

from pulsecloud.settings import *  # noqa: E402, F403

# Static files are collected by set-up, not by tests.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Hashing passwords well is slow by design, and no test is about that.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
