"""manage.py api_reference: writes docs/openapi*.yaml, the description of the API, from the code."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from pulsecloud.api_docs import DOCUMENTS
from tenants.http.openapi import as_yaml


class Command(BaseCommand):
    help = "Writes docs/openapi.yaml and docs/openapi-platform.yaml."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="only say whether it is current")

    def handle(self, *args: Any, **options: Any) -> None:
        stale = []
        for name, which in DOCUMENTS.items():
            path = settings.BASE_DIR / "docs" / f"{name}.yaml"
            text = as_yaml(which.urlconf)
            if options["check"]:
                if not path.exists() or path.read_bytes() != text:
                    stale.append(f"docs/{path.name}")
                continue
            path.write_bytes(text)
            self.stdout.write(f"Wrote {path.relative_to(settings.BASE_DIR)}.")
        if stale:
            self.stderr.write(f"{' and '.join(stale)} not current: run `make docs`.")
            sys.exit(1)
