"""The product's settings with the planted hole of tests.isolation.leaky."""

from pulsecloud.settings import *  # noqa: F403
from pulsecloud.settings import MIDDLEWARE

MIDDLEWARE = ["tests.isolation.leaky.CachesByPath", *MIDDLEWARE]
