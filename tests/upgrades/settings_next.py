"""The product's settings, with the tenant migrations of the package that NEXT_RELEASE names."""

import os

from pulsecloud.settings import *  # noqa: F403

MIGRATION_MODULES = {"rbac": os.environ["NEXT_RELEASE"]}
