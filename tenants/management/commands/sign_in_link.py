"""`manage.py sign_in_link`: a single-use sign-in link, in development only."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit import trail
from audit.actors import Actor
from tenants.accounts import entry


class Command(BaseCommand):
    help = "Prints a link that signs a person in once. Refused in production."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--to", default="/", help="path of the base domain to go to (/)")
        parser.add_argument("--minutes", type=int, default=entry.LINK_MINUTES)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("There are no one-time links in production (design section 5).")
        if not 1 <= options["minutes"] <= 60:
            raise CommandError("--minutes must lie between 1 and 60.")
        if not options["to"].startswith("/") or options["to"].startswith("//"):
            raise CommandError("--to must be a path, such as /admin/.")
        user = entry.find(options["email"])
        if user is None or not user.is_active:
            raise CommandError(f"There is no open account with the address {options['email']}.")
        link = entry.sign_in_link(
            user, target=options["to"], minutes=options["minutes"], printed=True
        )
        trail.record(
            action="sign_in_link_printed",
            actor=Actor.system("manage.py sign_in_link"),
            subject=str(user.pk),
        )
        self.stdout.write(link)
