"""`manage.py deletion_receipt`: prints a deletion's receipt, or checks one that somebody brings."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants.deletion import receipts
from tenants.models import DeletionReceipt


class Command(BaseCommand):
    help = (
        "Prints the signed receipt of an organisation's deletion, as the file that a customer keeps. "
        "With --verify it checks such a file instead. Exit codes: 0 genuine, 1 not genuine, 2 there "
        "is none, or the file cannot be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("label", help="of the deleted organisation")
        parser.add_argument(
            "--verify", metavar="FILE", type=Path, help="a receipt's file; `-` is standard input"
        )
        parser.add_argument(
            "--json", action="store_true", help="with --verify: print the verdict as JSON"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verify"]:
            document, signature, kid = self._read(options["verify"])
            if document.get("label") != options["label"]:
                verdict = receipts.Verdict(
                    False, f"It is the receipt of {document.get('label')!r}, not of this one."
                )
            else:
                verdict = receipts.verify(document, signature, kid)
            self._say(verdict, as_json=options["json"])
            return
        receipt = DeletionReceipt.objects.filter(label=options["label"]).first()
        if receipt is None:
            raise CommandError(f"There is no receipt for {options['label']!r}.", returncode=2)
        self.stdout.write(json.dumps(receipts.as_file(receipt), indent=2, ensure_ascii=False))
        verdict = receipts.check(receipt)
        if not verdict:
            raise CommandError(verdict.says, returncode=1)

    def _read(self, path: Path) -> tuple[dict[str, Any], str, str]:
        try:
            text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
            found = json.loads(text, object_pairs_hook=_once)
        except OSError as error:
            raise CommandError(f"The file cannot be read: {error}", returncode=2) from None
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            document, texts = found.get("document"), (found.get("signature"), found.get("kid"))
            if isinstance(document, dict) and all(isinstance(text, str) for text in texts):
                return document, str(texts[0]), str(texts[1])
        raise CommandError(f"{path} is not the file of a receipt.", returncode=2)

    def _say(self, verdict: receipts.Verdict, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"genuine": verdict.genuine, "says": verdict.says}))
        else:
            self.stdout.write(verdict.says)
        if not verdict:
            sys.exit(1)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a key that comes twice: a reader sees the one, the signature the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found
