"""`manage.py remove_second_factor`: somebody lost both their phone and their recovery codes."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actors import Actor
from tenants.accounts import entry, rescue
from tenants.http.problems import Problem


class Command(BaseCommand):
    help = (
        "Takes two-factor sign-in off an account, staff or customer, signs it out everywhere and "
        "mails its person. Make sure who asks; audited."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--reason", required=True, help="why, for the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        user = entry.find(options["email"])
        if user is None:
            raise CommandError(f"There is no account with the address {options['email']}.")
        try:
            rescue.remove_second_factor(
                user=user,
                actor=Actor.system("manage.py remove_second_factor"),
                reason=options["reason"],
                staff_too=True,
            )
        except Problem as problem:
            raise CommandError(problem.title) from None
        self.stdout.write(f"{user} signs in without a second factor now.")
