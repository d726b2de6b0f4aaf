"""`manage.py restore_admin`: an organisation locked itself out of its own roles."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.actors import Actor
from rbac.restoring import restore_admin
from tenants.hosts import organisation_at
from tenants.http.problems import Problem


class Command(BaseCommand):
    help = (
        "Makes the built-in roles of an organisation what they should be and gives its owner"
        " `admin` back. Changes nobody else's roles; audited."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--organisation", required=True, metavar="LABEL")
        parser.add_argument("--reason", required=True, help="why, for the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        organisation = organisation_at(options["organisation"])
        if organisation is None:
            raise CommandError(f"There is no organisation {options['organisation']}.")
        try:
            owner = restore_admin(
                organisation=organisation,
                actor=Actor.system("manage.py restore_admin"),
                reason=options["reason"],
            )
        except Problem as problem:
            raise CommandError(problem.title) from None
        self.stdout.write(f"{owner.user} is administrator of {organisation} again.")
